"Encode the masks of an image, compared with one pycocotools call per cell; check and read large submissions."
import argparse
import base64
import tempfile
import zlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import process_time

import cv2
import numpy as np
from pycocotools import mask as coco

from common import clock, machine
from hpa_cells.check import check_submission
from hpa_cells.rle import encode_cells
from hpa_cells.submit import read_submission, write_submission


def field_of_cells(size, n, seed):
    "A label map of n irregular round cells with background between them."
    rng = np.random.default_rng(seed)
    side = int(np.ceil(n**0.5))
    step = size // side
    y, x = np.mgrid[:step, :step] - step/2
    cells = np.zeros((size, size), np.uint16)
    for k in range(n):
        wave = sum(rng.normal(0, 0.05/m) * np.cos(m*np.arctan2(y, x) + rng.uniform(0, 6.3)) for m in range(2, 9))
        top, left = k // side*step, k % side*step
        cells[top:top+step, left:left+step][np.hypot(y, x) < 0.4*step*(1 + wave)] = k + 1
    return cells


def by_coco(cells):
    "One full-size mask and one call of pycocotools per cell."
    letters = {int(k): coco.encode(np.asfortranarray(cells == k))['counts'] for k in np.unique(cells) if k}
    return {k: base64.b64encode(zlib.compress(v, 9)).decode() for k, v in letters.items()}


def by_coco_in_columns(cells):
    "The same on a label map in column order, as pycocotools reads it."
    return by_coco(np.asfortranarray(cells))


def compare_masks():
    print('| image | cells | pycocotools, s | column order first, s | encode_cells, s | ratio | ratio |')
    print('|---|---|---|---|---|---|---|')
    for size, n in [(1024, 30), (2048, 30), (3072, 30), (2048, 100)]:
        cells = field_of_cells(size, n, seed=n)
        ways = by_coco, by_coco_in_columns, encode_cells
        (a, rival), (b, clever), (c, ours) = (clock(way, cells, repeats=5) for way in ways)
        assert a == b == c
        print(f'| {size} px | {n} | {rival:.4f} | {clever:.4f} | {ours:.4f} | {rival/ours:.1f} | {clever/ours:.1f} |')


def submission_rows(images):
    "Rows of 30 cells x 19 classes; eight label maps, made in advance, repeat."
    masks = [list(encode_cells(field_of_cells(2048, 30, seed)).values()) for seed in range(8)]
    return ((f'image{i}', 2048, 2048, [(c, 0.5, m) for m in masks[i % 8] for c in range(19)]) for i in range(images))


def time_check(path, images):
    counts, written = clock(write_submission, path, submission_rows(images))
    cpu = process_time()
    findings, checked = clock(check_submission, path)
    cpu, scale = process_time() - cpu, 559/images
    assert not len(findings)
    print(f'\n559 images x 30 cells x 19 classes, scaled from {images}: {counts["bytes"]*scale/1e6:.0f} MB, '
          f'written in {written*scale:.1f} s, checked in {checked*scale:.1f} s (CPU {cpu*scale:.1f} s)')


def count_detections(path): return sum(len(row.detections) for row in read_submission(path))


def peak_memory():
    "In MB, from /proc: a new process inherits ru_maxrss from its parent."
    return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))/1024


def read_large(path, size):
    rows = submission_rows(10**9)
    row = next(rows)
    n = int(size*1e9 / sum(len(m) + 7 for _, _, m in row[3])) + 1
    counts = write_submission(path, (r for r, _ in zip(rows, range(n))))
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as fresh:     # a fresh process
        for name, function in [('read', count_detections), ('checked', check_submission)]:
            before = fresh.submit(peak_memory).result()
            _, seconds = clock(lambda: fresh.submit(function, path).result())
            after = fresh.submit(peak_memory).result()
            print(f'\n{counts["bytes"]/1e9:.2f} GB, {counts["images"]} rows, {counts["detections"]:,} detections: '
                  f'{name} in {seconds:.1f} s, peak memory {after:.0f} MB ({before:.0f} MB before)')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=60, help='images to check; times are scaled to 559')
    parser.add_argument('--read', type=float, default=0, metavar='GB', help='also read a submission of this size')
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(machine(np) + '\n')
    compare_masks()
    with tempfile.TemporaryDirectory() as folder:
        time_check(Path(folder)/'submission.csv', args.images)
        if args.read: read_large(Path(folder)/'submission.csv', args.read)


if __name__ == '__main__': main()
