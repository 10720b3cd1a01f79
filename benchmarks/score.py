"Time and memory to score a large submission; overlaps compared with pycocotools on full masks."
import argparse
import base64
import os
import resource
import tempfile
import zlib
from pathlib import Path
from time import process_time

import cv2
import numpy as np
import pandas as pd
from pycocotools import mask as coco

from common import clock, machine
from hpa_cells.score import _mask_overlaps, score_submission
from hpa_cells.labelmaps import read_label_map, write_label_map
from hpa_cells.rle import column_runs, decode_runs, encode_cells
from hpa_cells.submit import write_submission
from submit import field_of_cells


def by_coco(texts, path):
    "Overlaps of masks with true cells, by pycocotools on a label map in column order."
    cells = np.asfortranarray(read_label_map(path))
    truth = [coco.encode(np.asfortranarray(cells == k).view(np.uint8)) for k in np.unique(cells) if k]
    masks = [dict(size=list(cells.shape), counts=zlib.decompress(base64.b64decode(t))) for t in texts]
    return coco.iou(masks, truth, [0]*len(truth))


def by_runs(texts, path):
    "The same, by runs."
    cells = read_label_map(path)
    return _mask_overlaps([decode_runs(t, *cells.shape) for t in texts], *column_runs(cells), cells.size)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=60, help='images; times are scaled to 559')
    parser.add_argument('--cells', type=int, default=30, help='cells per image')
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(machine(np, pd) + '\n')
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        folder, masks = Path(folder), []
        for i in range(8):     # eight label maps repeat; making them is not measured
            cells = field_of_cells(2048, args.cells, seed=i)
            masks.append(list(encode_cells(np.roll(cells, (15, 10), (0, 1))).values()))
            cv2.imwrite(str(folder/f'field{i}.png'), cells)
        ours = folder/'ours'     # the same label maps written by this package, which decode faster
        ours.mkdir()
        for i in range(8): write_label_map(ours/f'field{i}.png', read_label_map(folder/f'field{i}.png'))
        for i in range(args.images):
            for maps in (folder, ours): os.link(maps/f'field{i % 8}.png', maps/f'image{i}.png')
        rows = ((f'image{i}', 2048, 2048, [(c, rng.random(), m) for m in masks[i % 8] for c in range(19)])
                for i in range(args.images))
        table = pd.DataFrame([(f'image{i}', k, str(rng.integers(19))) for i in range(args.images)
                              for k in range(1, args.cells + 1)], columns=['ID', 'cell', 'Label'])
        write_submission(folder/'submission.csv', rows)
        truth = ((f'image{i}', 2048, 2048, [(int(c), 1, masks[i % 8][k-1]) for k, c in zip(group.cell, group.Label)])
                 for i, (_, group) in enumerate(table.groupby('ID', sort=False)))
        write_submission(folder/'truth.csv', truth)
        scale = 559/args.images
        print('| truth | seconds | CPU seconds | for 559 images | peak memory, MB | before, MB | mean | hits |\n'
              '|---|---|---|---|---|---|---|---|')
        for name, masks_and_cells in [('label maps by OpenCV', (folder, table)), ('by this package', (ours, table)),
                                       ('one file', (folder/'truth.csv',))]:
            before, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, process_time()
            score, seconds = clock(score_submission, folder/'submission.csv', *masks_and_cells)
            cpu, peak = process_time() - cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(f'| {name} | {seconds:.1f} | {cpu:.1f} | {seconds*scale:.1f}, CPU {cpu*scale:.1f} | {peak/1024:.0f} '
                  f'| {before/1024:.0f} | {score.mean:.3f} '
                  f'| {score.classes.hits.sum():,} of {score.classes.truth.sum():,} |')
        (theirs, slow), (runs, fast) = (clock(lambda f=f: [f(masks[i], folder/f'field{i}.png') for i in range(8)])
                                       for f in (by_coco, by_runs))
    assert all(np.allclose(a, b, atol=1e-12) for a, b in zip(theirs, runs))
    print(f'\noverlaps of an image, reading its label map included: pycocotools {slow/8:.4f} s, runs {fast/8:.4f} s, '
          f'ratio {slow/fast:.1f}')


if __name__ == '__main__': main()
