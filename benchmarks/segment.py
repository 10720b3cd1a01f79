"Seconds that the segmenter without weights takes for a field, on one core: `python benchmarks/segment.py`"
import os
os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1')   # before numpy is imported

import cv2
from common import clock, machine
from hpa_cells.plain import PlainSegmenter
from hpa_cells.labelmaps import agreement
from hpa_cells.simulate import simulate_field


def main(sizes=(512, 1024, 1728, 2048, 3072, 4096), repeats=3):
    cv2.setNumThreads(1)
    segment = PlainSegmenter()
    print(f'{machine(cv2)}; one thread\n')
    print('| size | cells | recall at IoU 0.6 | seconds, shortest of 3 |\n|---|---|---|---|')
    for size in sizes:
        truth = simulate_field(size, seed=0)
        (cells, _), seconds = clock(segment, truth.field, repeats=repeats)
        found = agreement(truth.cells, cells)
        print(f"| {size} | {found['n_truth']} | {found['recall']:.2f} | {seconds:.3f} |")

if __name__ == '__main__': main()
