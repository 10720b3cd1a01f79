"""Measure the local cost of an image of the public atlas: `python benchmarks/atlas.py`

A server process on this computer serves simulated fields of 2048 px. They are fetched, checked, shrunk and stored."""
import gzip
import io
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.update(OMP_NUM_THREADS='1', NO_PROXY='127.0.0.1')
import cv2
import numpy as np
import pandas as pd
import tifffile
from common import machine

from hpa_cells.download import download
from hpa_cells.plan import plan_download
from hpa_cells.fields import channels
from hpa_cells.simulate import simulate_field


def packed(image, kind):
    "Encode a channel as the atlas does: a red JPEG, or a 16-bit TIFF packed by gzip."
    if kind == 'jpg':
        red = cv2.merge([image*0, image*0, image])
        return cv2.imencode('.jpg', red, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    file = io.BytesIO()
    tifffile.imwrite(file, image.astype(np.uint16)*257)
    return gzip.compress(file.getvalue(), 6)


def serve(folder):
    "Start a web server for a folder; return the process and its URL."
    process = subprocess.Popen([sys.executable, '-u', '-m', 'http.server', '0', '--bind', '127.0.0.1', '-d', folder],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return process, f"http://127.0.0.1:{process.stdout.readline().split('port ')[1].split()[0]}"


def run(url, out, ids, kind):
    "Download all images; return CPU seconds, MB received and MB stored."
    index = pd.DataFrame(dict(ID=ids, address=[f'{url}/{ID}' for ID in ids], sample=ids, width=2048, cells=14.,
                              Label=pd.Series([frozenset([0])]*len(ids), dtype=object)))
    plan = plan_download(index, {0: 10**6}, max_gb=100, kind=kind)
    start = time.process_time()
    table = download(plan, out, hosts=[url], per_second=1e6, progress=False)
    assert (table['state'] == 'done').all(), table['reason'].tolist()
    return time.process_time() - start, table['fetched'].sum()/1e6, table['kept'].sum()/1e6


def main(images=8):
    cv2.setNumThreads(1)
    print(f'{machine(cv2, np)}; {images} images of 2048 px, stored at 1024 px\n')
    print('| kind | CPU s/image | MB/image received | MB/image stored |\n|---|---|---|---|')
    with TemporaryDirectory() as folder:
        ids = [f'{k}_A1_1' for k in range(images)]
        for seed in (0, 1):
            field = simulate_field(2048, seed=seed).field
            for kind in ('jpg', 'tif.gz'):
                for colour, image in zip(channels, field):
                    data = packed(image, kind)
                    for ID in ids[seed::2]: (Path(folder)/f'{ID}_{colour}.{kind}').write_bytes(data)
        server, url = serve(folder)
        try:
            for kind in ('jpg', 'tif.gz'):
                cpu, fetched, kept = run(url, Path(folder)/kind.replace('.', '-'), ids, kind)
                print(f'| {kind} | {cpu/images:.2f} | {fetched/images:.1f} | {kept/images:.1f} |')
        finally: server.terminate()
    print(f'\npeak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024:.0f} MB')

if __name__ == '__main__': main()
