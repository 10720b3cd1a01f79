"Time, memory and disk of segmenting and cropping by the number of images, on one core: python benchmarks/pipeline.py"
import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from common import machine
from hpa_cells.fields import channels
from hpa_cells.simulate import simulate_dataset

child = '''
import json, resource, sys, time
import cv2
from hpa_cells.stages import Run
cv2.setNumThreads(1)
source, out = sys.argv[1:]
times = []
run = Run(out, progress=False)
for stage in (run.segment, run.crop):
    start = time.perf_counter()
    stage(source)
    times.append(time.perf_counter() - start)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024
print(json.dumps(dict(segment=times[0], crop=times[1], cells=len(run.store()), memory=memory)))
'''


def repeat(source, out, n):
    "Make a folder of n images: hard links to the images of `source`, again and again under new names."
    ids = sorted({p.name.rsplit('_', 1)[0] for p in source.glob('*_red.png')})
    out.mkdir()
    for i in range(n):
        for c in channels: os.link(source/f'{ids[i % len(ids)]}_{c}.png', out/f'{i:06}_{c}.png')
    return out


def measure(source, out):
    "Segment and crop in a process of its own; return seconds, cells, memory (MB) and disk (MB)."
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', child, source, out], capture_output=True, text=True,
                          check=True, env=os.environ | dict(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1'))
    result = json.loads(done.stdout.splitlines()[-1])
    result['disk'] = sum(p.stat().st_size for p in Path(out).rglob('*') if p.is_file())/1e6
    shutil.rmtree(out)
    return result


def extrapolate(points):
    "Fit a straight line to (images, seconds, MB) and print what larger collections need."
    n, time, disk = np.array(points).T
    (slope, start), (mb, _) = np.polyfit(n, time, 1), np.polyfit(n, disk, 1)
    print(f'\nstraight line: {start:.1f} s + {slope:.3f} s per image')
    for name, m in (('the competition, 22,000 images', 22_000), ('the atlas, 80,000 images', 80_000)):
        print(f'{name}: {slope*m/3600:.1f} hours on one core, {mb*m/1000:.0f} GB')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--fields', type=int, nargs='+', default=[10, 100, 1000], help='numbers of images')
    parser.add_argument('--size', type=int, default=2048, help='side of the images, px')
    args = parser.parse_args()
    print(machine(cv2, np), '\n')
    print('| images | segment, s | crop, s | s per image | cells | disk, MB | peak memory, MB |\n'
          '|---|---|---|---|---|---|---|')
    points = []
    with TemporaryDirectory() as folder:
        source = simulate_dataset(Path(folder)/'ten', fields=10, size=args.size, seed=0, test=1)/'train'
        for n in args.fields:
            r = measure(repeat(source, Path(folder)/f'fields{n}', n), Path(folder)/'run')
            seconds = r['segment'] + r['crop']
            print(f"| {n} | {r['segment']:.1f} | {r['crop']:.1f} | {seconds/n:.3f} | {r['cells']} | {r['disk']:.0f} "
                  f"| {r['memory']:.0f} |", flush=True)
            points.append((n, seconds, r['disk']))
    if len(points) > 1: extrapolate(points)


if __name__ == '__main__': main()
