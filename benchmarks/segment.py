"Seconds that the segmenter without weights takes for a field, on one core: `python benchmarks/segment.py`"
import os
os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1')   # before numpy is imported
import platform
from statistics import median
from time import perf_counter

import cv2
from hpa_cells.segment import PlainSegmenter, agreement
from hpa_cells.simulate import simulate_field

def cpu_name():
    try: return next(line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name'))
    except (OSError, StopIteration): return platform.processor() or platform.machine()

def main(sizes=(512, 1024, 1728, 2048, 3072, 4096), repeats=3):
    cv2.setNumThreads(1)
    segment = PlainSegmenter()
    print(f'{cpu_name()}, one thread, Python {platform.python_version()}, OpenCV {cv2.__version__}\n')
    print('| size | cells | recall at IoU 0.6 | seconds, median |\n|---|---|---|---|')
    for size in sizes:
        truth = simulate_field(size, seed=0)
        times = []
        for _ in range(repeats):
            start = perf_counter()
            cells, _ = segment(truth.field)
            times.append(perf_counter() - start)
        found = agreement(truth.cells, cells)
        print(f"| {size} | {found['n_truth']} | {found['recall']:.2f} | {median(times):.3f} |")

if __name__ == '__main__': main()
