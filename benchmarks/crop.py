"""Time from four PNG files to the crops of all cells: this package, and the usual way.

    python benchmarks/crop.py [--fields 16] [--cells 30] [--size 2048]

The usual way makes a mask as large as the image for each cell and writes one PNG per cell.
"""
import argparse
import os
os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1')   # before numpy is imported
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import cv2
import numpy as np
from common import machine

from hpa_cells.crop import crop_cells, measure_cells
from hpa_cells.fields import channels, open_fields
from hpa_cells.labelmaps import read_label_map, write_label_map
from hpa_cells.simulate import simulate_field
from hpa_cells.shards import crop_shard, plan_shards


def write_fields(folder, n, size, cells):
    "Write n images with their label maps: two are simulated, the others are links to these."
    for i in range(2):
        truth = simulate_field(size, n_cells=cells, seed=i)
        for colour, channel in zip(channels, truth.field): cv2.imwrite(str(folder/f'{i}_{colour}.png'), channel)
        write_label_map(folder/'masks'/f'{i}.png', truth.cells)
        write_label_map(folder/'masks'/f'{i}_nuclei.png', truth.nuclei)
    for path in [*folder.glob('?_*.png'), *folder.glob('masks/?*.png')]:
        for i in range(2 + int(path.name[0]), n, 2): os.link(path, path.with_name(f'{i}{path.name[1:]}'))
    return open_fields(folder)


def decode(folder, ID):
    "Decode the four channels of an image: the least that any way has to do."
    return [cv2.imdecode(np.frombuffer((folder/f'{ID}_{c}.png').read_bytes(), np.uint8), -1) for c in channels]


def usual_way(folder, ID, size=128):
    "Make a mask as large as the image, four crops and one PNG for each cell."
    field, cells = decode(folder, ID), cv2.imread(str(folder/'masks'/f'{ID}.png'), -1)
    for k in np.unique(cells)[1:]:
        mask = cells == k
        y, x = np.nonzero(mask)
        box = slice(y.min(), y.max()+1), slice(x.min(), x.max()+1)
        crop = [cv2.resize((channel*mask)[box], (size, size), interpolation=cv2.INTER_AREA) for channel in field]
        cv2.imwrite(str(folder/'png'/f'{ID}_{k}.png'), cv2.merge(crop))


def cpu(function, *args):
    "Return the processor time in ms and the result."
    start = process_time()
    result = function(*args)
    return 1000*(process_time() - start), result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--fields', type=int, default=16)
    parser.add_argument('--cells', type=int, default=30)
    parser.add_argument('--size', type=int, default=2048)
    parser.add_argument('--repeats', type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(f'{machine(np, cv2)}; one thread, processor time, the best of {args.repeats}\n')
    with TemporaryDirectory() as d:
        d = Path(d)
        for name in ('masks', 'png'): (d/name).mkdir()
        fields, times = write_fields(d, args.fields, args.size, args.cells), []
        (number, ids), = plan_shards(d/'cells', fields.ids, args.fields)
        for _ in range(args.repeats):       # in turns, so that other load affects all steps alike
            t = {}
            t['decode'] = sum(cpu(decode, d, ID)[0] for ID in ids)/len(ids)
            whole, result = cpu(crop_shard, fields, d/'masks', d/'cells', number, ids)
            t['images to store'] = whole/len(ids)
            t['usual way, one PNG per cell'] = np.mean([cpu(usual_way, d, ID)[0] for ID in ids[:2]])
            t['read image'], field = cpu(fields.read, ids[0])
            t['read cells'], cells = cpu(read_label_map, d/'masks'/f'{ids[0]}.png')
            t['read nuclei'], nuclei = cpu(read_label_map, d/'masks'/f'{ids[0]}_nuclei.png')
            t['measure'], table = cpu(measure_cells, field, cells, nuclei)
            t['crop'], _ = cpu(crop_cells, field, cells, table)
            times.append(t)
    t = {name: min(t[name] for t in times) for name in times[0]}
    floor, maps = t['decode'], t['read cells'] + t['read nuclei']
    t['images to store, label maps in memory'] = t['images to store'] - maps
    t['usual way, label map in memory'] = t['usual way, one PNG per cell'] - t['read cells']
    print(f'| an image of {args.size} px, {result["cells"]/len(ids):.0f} cells | ms | relative to decoding |')
    print('|---|---|---|')
    for name, ms in t.items(): print(f'| {name} | {ms:.1f} | {ms/floor:.2f} |')
    def ratio(usual, ours): return (t[usual] - floor)/(t[ours] - floor)
    from_disk = ratio('usual way, one PNG per cell', 'images to store')
    from_memory = ratio('usual way, label map in memory', 'images to store, label maps in memory')
    print(f'\nwithout decoding, the usual way takes {from_disk:.1f} times as long, {from_memory:.1f} times with label '
          'maps in memory')


if __name__ == '__main__': main()
