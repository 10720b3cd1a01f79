"""A head on features compared with a network's own head: `python benchmarks/heads.py [--epochs 12 36]`

A small network learns from cells of simulated images that show one of five classes. Heads are trained on its features
with the same labels, and all predict the cells of other images; the measure is macro average precision (AP). A row of
the table is a length of training; the means are over three seeds.
"""
import argparse
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import timm
import torch
from common import machine
from sklearn.metrics import average_precision_score

from hpa_cells.simulate import simulate_field
from hpa_cells.crop import crop_cells, measure_cells
from hpa_cells.dataset import cell_targets
from hpa_cells.models import load_network
from hpa_cells.train import train_network
from hpa_cells.predict import embeddings, predict_cells
from hpa_cells.features import Features
from hpa_cells.head import predict_head, train_head

used = [0, 6, 7, 10, 14]
quiet = dict(device='cpu', precision='float32', progress=False)


class MemoryStore:
    "Cells of simulated images with one class each, in memory."
    def __init__(self, seeds, size=64):
        self.size, crops, tables = size, [], []
        for seed in seeds:
            sim = simulate_field(320, labels={used[seed % 5]}, seed=seed)
            table = measure_cells(sim.field, sim.cells)
            crops.append(crop_cells(sim.field, sim.cells, table, size))
            keys = dict(ID=f'image{seed:02}', source='true')
            tables.append(table[['cell', 'cut']].assign(Label=[sim.labels[c - 1] for c in table.cell], **keys))
        self.crops, self.cells = np.concatenate(crops), pd.concat(tables, ignore_index=True)
        self.labels = self.cells.drop(columns='cut')
    def __len__(self): return len(self.crops)
    def table(self, columns=None): return self.cells[columns] if columns else self.cells
    def read(self, rows): return self.crops[rows]


def compare(folder, seen, unseen, epochs, seed):
    "Macro AP of the network, with TTA, and of a linear and an MLP head on its features."
    def macro_ap(table):
        return average_precision_score(cell_targets(unseen.labels)[:, used], table[[f'p{c}' for c in used]].to_numpy())
    model = folder/f'{epochs}-{seed}'
    train_network(seen, seen.labels, model, arch='test_resnet', epochs=epochs, lr=4e-3, hidden=128, seed=seed, **quiet)
    net = load_network(model)
    own = [macro_ap(predict_cells(net, unseen, tta=tta, **quiet)) for tta in (False, True)]
    a, b = (Features(d.table(['ID', 'cell']), embeddings(net, d, **quiet)) for d in (seen, unseen))
    heads = [train_head(a, seen.labels, kind, least_steps=300, seed=seed) for kind in ('linear', 'mlp')]
    return own + [macro_ap(predict_head(head, b)) for head in heads]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--epochs', type=int, nargs='+', default=[12, 36])
    parser.add_argument('--seeds', type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    seen, unseen = MemoryStore(range(30)), MemoryStore(range(30, 50))
    print(machine(torch, timm), f'{len(seen)} cells, {len(unseen)} other cells', sep='\n')
    print("| epochs | network's own head | with TTA | linear head | MLP head |\n|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        for epochs in args.epochs:
            found = np.array([compare(Path(folder), seen, unseen, epochs, s) for s in range(args.seeds)])
            print(f'| {epochs} |', ' | '.join(f'{m:.3f}' for m in found.mean(0)), '|', flush=True)
            gain = found[:, 2:] - found[:, :1]
            print('  gain over the own head, linear and MLP:', ', '.join(f'{g:+.3f}' for g in gain.ravel()), flush=True)


if __name__ == '__main__': main()
