"""Random reads from a store in the page cache, and the index of ten million cells.

    python benchmarks/store.py [--rows 10000000] [--cells 20000]
"""
import argparse
import os
os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1')   # before numpy is imported
import resource
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np
import pandas as pd
import pyarrow as pa
from common import clock, machine

from hpa_cells.shards import _write_pixels, _write_plan, _write_rows, merge_index
from hpa_cells.store import open_store
from hpa_cells.archive import verify_store


def write_store(folder, shards, cells, size, fields=64, seed=0):
    "Write a store of random pixels with the functions of the package: `shards` shards of `cells` cells each."
    folder.mkdir()
    rng, plan = np.random.default_rng(seed), []
    settings = dict(size=size, margin=0.05, background=False, own_mask=False, nuclei=True, max_cells=8192)
    block = rng.integers(0, 256, (256, 4, size, size), np.uint8)
    per_field = np.diff(np.linspace(0, cells, fields + 1).astype(int))
    number = np.concatenate([np.arange(1, n + 1) for n in per_field])
    columns = {c: rng.integers(0, 2000, cells, np.int32) for c in ('y0', 'x0', 'y1', 'x1', 'area', 'nucleus_area')}
    columns |= {c: rng.random(cells, np.float32) for c in ('cut', 'red', 'green', 'blue', 'yellow')}
    for shard in range(shards):
        ids = [f'{seed:08x}-{shard:04x}-4000-8000-{i:012x}' for i in range(fields)]
        blocks = (block[:min(256, cells - at)] for at in range(0, cells, 256))
        hashes = _write_pixels(folder, shard, blocks, (4, size, size), 8192)
        table, ends = pd.DataFrame(dict(cell=number, **columns)), np.cumsum(per_field)
        meta = dict(format=1, settings=settings, sha256=hashes, fields=list(zip(ids, per_field.tolist())))
        meta |= dict(set_aside=[], origins={})
        _write_rows(folder, shard, [(ID, table[end - n:end]) for ID, n, end in zip(ids, per_field, ends)], meta)
        plan += [(ID, shard) for ID in ids]
    _write_plan(folder, pd.DataFrame(plan, columns=['ID', 'shard']))
    return folder


def memory():
    "Return the peak memory of this process in MB."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024


def random_reads(folder, shards, cells, batch, reads, repeats=5):
    "Print the cells read per second, `batch` at a time."
    merge_index(write_store(folder, shards, cells, 128))
    store, rng = open_store(folder), np.random.default_rng(1)
    rows = rng.integers(0, len(store), (reads, batch))
    def read_all():
        for r in rows: store.read(r)
    read_all()      # into the page cache
    start = process_time()
    _, seconds = clock(read_all, repeats=repeats)
    cpu = (process_time() - start)/repeats
    print(f'| {len(store):,} cells of 128 px in {shards} shards | {batch} | '
          f'{rows.size/seconds:,.0f} | {rows.size/cpu:,.0f} |', flush=True)


def index(folder, rows):
    "Print time and memory of a store with many rows; its crops have a side of 1 px."
    shards = max(1, rows//5000)
    write_store(folder, shards, rows//shards, 1)
    print(f'| index of {shards:,} shards | seconds | peak memory so far, MB |\n|---|---|---|')
    print(f'| before | | {memory():.0f} |')
    n, seconds = clock(merge_index, folder)
    size = os.path.getsize(folder/'cells.parquet')/1e6
    print(f'| merging {n:,} rows to {size:.0f} MB | {seconds:.1f} | {memory():.0f} |', flush=True)
    store, seconds = clock(open_store, folder)
    print(f'| opening the store | {seconds:.2f} | {memory():.0f} |')
    _, seconds = clock(store.read, np.random.default_rng(0).integers(0, n, 20_000))
    print(f'| reading 20,000 cells of 1 px at random | {seconds:.2f} | {memory():.0f} |')
    found, seconds = clock(verify_store, folder)
    print(f'| verify_store, {len(found)} findings | {seconds:.1f} | {memory():.0f} |')
    for columns in (['cut'], ['cell', 'area', 'cut'], ['ID', 'cell']):
        _, seconds = clock(store.table, columns)
        print(f'| the columns {", ".join(columns)} | {seconds:.2f} | {memory():.0f} |', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, default=10_000_000)
    parser.add_argument('--cells', type=int, default=20_000, help='cells for random reads; 20,000 need 1.3 GB of disk')
    args = parser.parse_args()
    print(f'{machine(np, pd, pa)}\n')
    with TemporaryDirectory() as d: index(Path(d)/'cells', args.rows)
    print('\n| store | cells per read | cells per second, best of 5 | cells per second of processor time |')
    print('|---|---|---|---|')
    with TemporaryDirectory() as d:
        for shards in (16, 500):
            for batch in (64, 1024):
                random_reads(Path(d)/f'{shards}-{batch}', shards, args.cells//shards, batch, 20_000//batch)


if __name__ == '__main__': main()
