"Masks of a field beside one pycocotools call for each cell's full mask; and how long a check takes."
import argparse, base64, os, platform, tempfile, time, zlib
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco

from hpa_cells.submit import check_submission, encode_cells, write_submission


def field_of_cells(size, n, seed):
    "A label map of n wobbly round cells, and background between them."
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
    "One full-size mask and one call of pycocotools for each cell."
    letters = {int(k): coco.encode(np.asfortranarray(cells == k))['counts'] for k in np.unique(cells) if k}
    return {k: base64.b64encode(zlib.compress(v, 9)).decode() for k, v in letters.items()}


def by_coco_in_columns(cells):
    "The same for people who know that pycocotools reads columns: the label map is brought to column order once."
    return by_coco(np.asfortranarray(cells))


def best(function, *args, repeats=5):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(*args)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=60, help='images to check; the time is scaled to 559')
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(f'{platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()}, numpy {np.__version__}\n')
    print('| field | cells | pycocotools, s | column order first, s | encode_cells, s | ratio | ratio |')
    print('|---|---|---|---|---|---|---|')
    for size, n in [(1024, 30), (2048, 30), (3072, 30), (2048, 100)]:
        cells = field_of_cells(size, n, seed=n)
        assert by_coco(cells) == encode_cells(cells)
        rival, clever, ours = (best(f, cells) for f in (by_coco, by_coco_in_columns, encode_cells))
        print(f'| {size} px | {n} | {rival:.4f} | {clever:.4f} | {ours:.4f} | {rival/ours:.1f} | {clever/ours:.1f} |')

    maps = [encode_cells(field_of_cells(2048, 30, seed)) for seed in range(8)]
    rows = ((f'image{i}', 2048, 2048, [(c, 0.5, m) for m in maps[i % 8].values() for c in range(19)])
            for i in range(args.images))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'submission.csv'
        start = time.perf_counter()
        told = write_submission(path, rows)
        written = time.perf_counter()
        findings = check_submission(path)
        checked = time.perf_counter()
    assert not len(findings)
    scale = 559/args.images
    print(f'\n559 images x 30 cells x 19 classes, scaled from {args.images}: {told["bytes"]*scale/1e6:.0f} MB, '
          f'written in {(written - start)*scale:.1f} s, checked in {(checked - written)*scale:.1f} s')


if __name__ == '__main__': main()
