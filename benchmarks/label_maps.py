"""From the network's output to label maps, beside the public `label_cell`: `python benchmarks/label_maps.py [size ...]`

The network's output is made up from simulated label maps: inside, touching border, background, blurred and noisy, at a quarter of the size. The public code takes part where hpacellseg
can be imported (repaired so that it runs on today's numpy). Both run in turn in one process; memory is what the process holds more at its peak (Linux)."""
import ctypes
import sys
import warnings
from statistics import median
from time import perf_counter

import cv2
import numpy as np
from common import machine
from hpa_cells.labelmaps import agreement
from hpa_cells.segment import network_label_maps
from hpa_cells.simulate import simulate_field


def network_output(labels, rng, blur=1., noise=0.5):
    "Probabilities (3, h, w) float32 as a network might give them if `labels` were the truth."
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
    low = cv2.erode(np.where(labels > 0, labels, 65535).astype(np.uint16), reach)
    border = (low < cv2.dilate(labels.astype(np.uint16), reach)).astype(np.float32)
    size = tuple(n//4 for n in labels.shape[::-1])
    p = [cv2.resize(np.float32(x), size, interpolation=cv2.INTER_AREA) for x in ((labels == 0)*(1-border), border, (labels > 0)*(1-border))]
    p = [cv2.GaussianBlur(x, (0, 0), blur).clip(0.002, 1)*np.exp(noise*cv2.GaussianBlur(rng.normal(size=x.shape).astype(np.float32), (0, 0), 1)) for x in p]
    return (p / sum(p)).astype(np.float32)


def as_public(p, shape):
    "The same as hpacellseg gives it: (H, W, 3) bytes at full size, background 0."
    q = np.round(p*255).astype(np.uint8).transpose(1, 2, 0).copy()
    q[..., 0] = 0
    return cv2.resize(q, shape[::-1], interpolation=cv2.INTER_AREA)


def peak(f):
    "MiB that the process holds at the peak of f() above what it held before; nan where the system does not tell."
    def value(key): return next(int(line.split()[1])/1024 for line in open('/proc/self/status') if line.startswith(key))
    try:
        ctypes.CDLL(None).malloc_trim(0)                     # what is free but kept would hide what f() takes
        with open('/proc/self/clear_refs', 'w') as refs: refs.write('5')
        before = value('VmRSS')
        f()
        return value('VmHWM') - before
    except (OSError, AttributeError): return float('nan')


def main(sizes=(1728, 2048, 3072), fields=6, rounds=3):
    try: from hpacellseg.utils import label_cell
    except ImportError as e: label_cell = print(f'the public code cannot be imported ({e}): ours alone\n')
    warnings.simplefilter('ignore')
    cv2.setNumThreads(2)
    print(machine(cv2, np), '\n')
    print('| px | cells public | ours | matched IoU cells | nuclei | to the truth: public | ours | s public | s ours | ratio | MiB public | MiB ours |\n|' + '---|'*12)
    for size in sizes:
        rows, total = [], [0, 0]
        for seed in range(fields):
            truth, rng = simulate_field(size, seed=seed), np.random.default_rng(seed)
            nuclei, cells = (network_output(x, rng, 0.7 + 0.3*(seed % 3), 0.25 + 0.25*(seed % 3)) for x in (truth.nuclei, truth.cells))
            theirs = [as_public(p, truth.cells.shape) for p in (nuclei, cells)]
            calls = [lambda: network_label_maps(nuclei, cells, truth.cells.shape)[::-1]] + ([lambda: label_cell(*theirs)] if label_cell else [])
            maps = [f() for f in calls]
            times = [[] for _ in calls]
            for _ in range(rounds):
                for f, t in zip(calls, times):
                    start = perf_counter()
                    f()
                    t.append(perf_counter() - start)
            (n, c), (pn, pc) = maps[0], [x.astype(np.int64) for x in maps[-1]]
            total[0] += pc.max(); total[1] += int(c.max())
            rows.append([agreement(pc, c)['matched_iou'], agreement(pn, n)['matched_iou'], agreement(truth.cells, pc)['matched_iou'], agreement(truth.cells, c)['matched_iou'],
                         median(times[-1]), median(times[0]), *(peak(f) for f in calls[::-1])])
        m = np.nanmedian(rows, 0)
        mean = np.mean([r[:4] for r in rows], 0)
        print(f'| {size} | {total[0]} | {total[1]} | ' + ' | '.join(f'{x:.4f}' for x in mean) + f' | {m[4]:.2f} | {m[5]:.3f} | {m[4]/m[5]:.0f} | {m[6]:.0f} | {m[-1]:.0f} |', flush=True)

if __name__ == '__main__': main(tuple(map(int, sys.argv[1:])) or (1728, 2048, 3072))
