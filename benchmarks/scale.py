"One worker and two; what the scheduler takes for 100,000 empty tasks; memory of scheduler and client."
import argparse
import os
os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1')   # before numpy is imported; workers inherit it
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import distributed
import numpy as np
from common import machine

from hpa_cells.fields import channels, open_fields
from hpa_cells.prepare import crop_fields
from hpa_cells.scale import workers
from hpa_cells.labelmaps import write_label_map
from hpa_cells.simulate import simulate_field
from hpa_cells.shards import plan_shards


def memory():
    "Of this process, in which the scheduler is, too; MB."
    return int(Path('/proc/self/statm').read_text().split()[1])*os.sysconf('SC_PAGE_SIZE')/2**20


def empty(task): return ()


def cost(tasks):
    "Empty tasks, each as it would be for one field."
    print('| empty tasks done | seconds | ms a task | CPU of scheduler and client, ms a task | their memory, MB |\n|---|---|---|---|---|')
    with workers('local:2') as two:
        list(two(empty, range(1000)))      # the workers have started and imported
        start, cpu, told = time.monotonic(), time.process_time(), {0, tasks//10, tasks//2, tasks}
        for n, _ in enumerate(two(empty, ((n, f'{n:036}') for n in range(tasks)))):
            if n + 1 in told:
                seconds = time.monotonic() - start
                print(f'| {n + 1:,} | {seconds:.1f} | {seconds/(n + 1)*1e3:.2f} | {(time.process_time() - cpu)/(n + 1)*1e3:.2f} | {memory():.0f} |', flush=True)


def write_fields(folder, fields):
    "Copies of one 2048 px field: 30 cells, PNG."
    made = simulate_field(2048, n_cells=30, seed=0)
    (folder/'train').mkdir()
    (folder/'masks').mkdir()
    pngs = [cv2.imencode('.png', channel)[1].tobytes() for channel in made.field]
    for n in range(fields):
        for colour, png in zip(channels, pngs): (folder/'train'/f'{n:04}_{colour}.png').write_bytes(png)
        for name, labels in ((f'{n:04}', made.cells), (f'{n:04}_nuclei', made.nuclei)): write_label_map(folder/'masks'/f'{name}.png', labels)
    return open_fields(folder/'train')


def timed(function, task):
    "Seconds of CPU that a task took."
    start = time.process_time()
    function(task)
    return time.process_time() - start


def growth(fields, repeats):
    "Decode and crop by one process and by two workers, taking turns."
    print('| workers | seconds for each run | best, s a field | CPU, s a field | times one |\n|---|---|---|---|---|')
    with TemporaryDirectory() as d, workers(1) as one, workers('local:2') as two:
        folder = Path(d)
        images = write_fields(folder, fields)
        def run(who, n):
            cells = folder/f'cells-{n}'
            tasks = [(number, images.subset(ids)) for number, ids in plan_shards(cells, images.ids, 4)]
            start = time.monotonic()
            cpu = sum(who(partial(timed, partial(crop_fields, masks=folder/'masks', cells=cells)), tasks))
            return time.monotonic() - start, cpu
        for who in (one, two): run(who, 'warm')
        found = {1: [], 2: []}
        for n in range(repeats):
            for many, who in ((1, one), (2, two)): found[many].append(run(who, f'{many}-{n}'))
        best = {many: min(found[many]) for many in found}
        for many, (seconds, cpu) in best.items():
            every = ', '.join(f'{s:.1f}' for s, _ in found[many])
            print(f'| {many} | {every} | {seconds/fields:.3f} | {cpu/fields:.3f} | {best[1][0]/seconds:.2f} |')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--tasks', type=int, default=100_000)
    parser.add_argument('--fields', type=int, default=48, help='at 2048 px, 16 MB each')
    parser.add_argument('--repeats', type=int, default=3)
    options = parser.parse_args()
    print(machine(np, cv2, distributed), '\n')
    growth(options.fields, options.repeats)
    print()
    cost(options.tasks)


if __name__ == '__main__': main()
