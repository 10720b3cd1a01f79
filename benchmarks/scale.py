"One worker against two, and the cost of 100,000 empty tasks in time and memory: python benchmarks/scale.py"
import argparse
import os
os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1')   # before numpy is imported; workers inherit them
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import distributed
import numpy as np
from common import machine

from hpa_cells.fields import channels, open_fields
from hpa_cells.labelmaps import write_label_map
from hpa_cells.prepare import crop_fields
from hpa_cells.scale import workers
from hpa_cells.shards import plan_shards
from hpa_cells.simulate import simulate_field


def memory():
    "Return the memory of this process, which holds scheduler and client, in MB."
    return int(Path('/proc/self/statm').read_text().split()[1])*os.sysconf('SC_PAGE_SIZE')/2**20


def empty(task): return ()


def measure_cost(tasks):
    "Do empty tasks, each with a message as for one image."
    print('| empty tasks | seconds | ms per task | CPU of scheduler and client, ms per task | their memory, MB |\n'
          '|---|---|---|---|---|')
    with workers('local:2') as two:
        list(two(empty, range(1000)))      # the workers start and import
        start, cpu, shown = time.monotonic(), time.process_time(), {0, tasks//10, tasks//2, tasks}
        for n, _ in enumerate(two(empty, ((n, f'{n:036}') for n in range(tasks))), 1):
            if n in shown:
                seconds, busy = time.monotonic() - start, time.process_time() - cpu
                print(f'| {n:,} | {seconds:.1f} | {seconds/n*1e3:.2f} | {busy/n*1e3:.2f} | {memory():.0f} |',
                      flush=True)


def write_fields(folder, fields):
    "Write copies of one 2048 px field with 30 cells, and its label maps."
    made = simulate_field(2048, n_cells=30, seed=0)
    (folder/'train').mkdir()
    (folder/'masks').mkdir()
    pngs = [cv2.imencode('.png', channel)[1].tobytes() for channel in made.field]
    for n in range(fields):
        for colour, png in zip(channels, pngs): (folder/'train'/f'{n:04}_{colour}.png').write_bytes(png)
        for name, labels in ((f'{n:04}', made.cells), (f'{n:04}_nuclei', made.nuclei)):
            write_label_map(folder/'masks'/f'{name}.png', labels)
    return open_fields(folder/'train')


def timed(function, task):
    "Do a task; return its CPU seconds."
    start = time.process_time()
    function(task)
    return time.process_time() - start


def crop_all(map, images, folder, name):
    "Decode and crop all images; return seconds and CPU seconds."
    cells = folder/f'cells-{name}'
    tasks = [(number, images.subset(ids)) for number, ids in plan_shards(cells, images.ids, 4)]
    start = time.monotonic()
    cpu = sum(map(partial(timed, partial(crop_fields, masks=folder/'masks', cells=cells)), tasks))
    return time.monotonic() - start, cpu


def measure_speedup(fields, repeats):
    "Crop with one process and with two workers in turns."
    print('| workers | seconds of each run | best, s per image | CPU, s per image | speed-up |\n|---|---|---|---|---|')
    with TemporaryDirectory() as d, workers(1) as one, workers('local:2') as two:
        folder = Path(d)
        images, found = write_fields(folder, fields), {1: [], 2: []}
        for n, map in ((1, one), (2, two)): crop_all(map, images, folder, f'warm-{n}')
        for k in range(repeats):
            for n, map in ((1, one), (2, two)): found[n].append(crop_all(map, images, folder, f'{n}-{k}'))
        best = {n: min(runs) for n, runs in found.items()}
        for n, (seconds, cpu) in best.items():
            times = ', '.join(f'{s:.1f}' for s, _ in found[n])
            print(f'| {n} | {times} | {seconds/fields:.3f} | {cpu/fields:.3f} | {best[1][0]/seconds:.2f} |')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--tasks', type=int, default=100_000, help='empty tasks')
    parser.add_argument('--fields', type=int, default=48, help='images of 2048 px, 16 MB each')
    parser.add_argument('--repeats', type=int, default=3, help='runs of each kind')
    options = parser.parse_args()
    print(machine(np, cv2, distributed), '\n')
    measure_speedup(options.fields, options.repeats)
    print()
    measure_cost(options.tasks)


if __name__ == '__main__': main()
