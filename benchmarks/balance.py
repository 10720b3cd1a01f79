"""Effect of balancing on rare classes, on simulated images with the competition's class skew.

    python benchmarks/balance.py [--seeds 3] [--weak]

A small network trains on all cells without balancing. For each way to balance, a new head is then trained on the
network's features, with the same number of steps (Kang et al. 2020, arXiv:1910.09217, found that this suffices). All
classes are equally frequent in the test images. Images are many and have few cells, so that a rare class has several.
In ten minutes a small network learns little (average precision 0.12; chance gives about 0.06), so differences below
0.01 are noise.
"""
import os
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')   # before torch: on a busy machine spinning threads are slow
import argparse
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np
import pandas as pd
import torch
from common import machine

from hpa_cells.classes import read_labels
from hpa_cells.balance import balance_rows, choose_cells
from hpa_cells.dataset import cell_targets
from hpa_cells.fields import open_fields
from hpa_cells.predict import embeddings
from hpa_cells.loss import focal_loss
from hpa_cells.network import CellHead
from hpa_cells.models import load_network
from hpa_cells.truth import read_truth
from hpa_cells.simulate import simulate_dataset
from hpa_cells.shards import crop_shard, merge_index, plan_shards
from hpa_cells.store import open_store
from hpa_cells.recorder import class_average_precision
from hpa_cells.train import train_network


def simulated_cells(folder, fields, seed, classes=None, weak=False, size=320, crop=64, **options):
    "Return a store of simulated cells and their labels: the true ones, or (weak) the labels of their image."
    simulate_dataset(folder, fields, size, seed, test=0, classes=classes, n_cells=8, **options)
    source, masks, cells = open_fields(folder/'train'), folder/'truth'/'masks', folder/'cells'
    for number, ids in plan_shards(cells, source.ids): crop_shard(source, masks, cells, number, ids, crop, nuclei=False)
    merge_index(cells)
    store, truth = open_store(cells), read_truth(folder/'truth'/'cells.csv')
    table = store.table(['ID', 'cell'])
    sets = dict(read_labels(folder/'train.csv').itertuples(index=False))
    labels = [sets[i] if weak else truth[i][c] for i, c in table.itertuples(index=False)]
    return store, table.assign(Label=pd.Series(labels, dtype=object), source='simulated')


def train_head(features, targets, rows, steps, seed, batch=128):
    "Train a new head on rows that are repeated in random order."
    torch.manual_seed(seed)
    rng, head = np.random.default_rng(seed), CellHead(features.shape[1], targets.shape[1], hidden=128)
    optimizer = torch.optim.AdamW(head.parameters(), 2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    order = np.concatenate([rng.permutation(rows) for _ in range(-(-steps*batch//len(rows)))])
    for at in order[:steps*batch].reshape(steps, batch):
        optimizer.zero_grad()
        focal_loss(head(features[at]), targets[at]).backward()
        optimizer.step()
        schedule.step()
    return head.eval()


def ways(cell_labels, features, confidence, seed):
    "Return the cap, and name -> training rows of a head."
    sets, targets = cell_labels.Label.tolist(), cell_targets(cell_labels)
    cap = int(np.median(targets.sum(0)))
    def capped(**kwargs):     # chosen cells, with repeats of rare classes
        rows = choose_cells(cell_labels, cap, seed=seed, **kwargs)
        return rows[balance_rows([sets[r] for r in rows], floor=cap//2, seed=seed)]
    return cap, {
        'no balance': np.arange(len(sets)),
        'floor alone': balance_rows(sets, floor=cap//2, seed=seed),
        'cap + floor': capped(),
        'cap + floor, the surest': capped(confidence=confidence),
        'cap + floor, varied': capped(embeddings=features, sure=1e9),
        'cap + floor, varied among the surest': capped(confidence=confidence, embeddings=features),
        'square root': balance_rows(sets, rule='sqrt', seed=seed),
        'effective number': balance_rows(sets, rule='effective', beta=0.999, seed=seed),
        'equal': balance_rows(sets, rule='equal', seed=seed)}


def one_seed(folder, seed, args):
    "Return the ways' names, average precisions (ways, 19), training cells of each class, and rows of each way."
    began = process_time()
    store, cell_labels = simulated_cells(folder/'train', args.fields, [seed, 0], weak=args.weak)
    even = dict(classes=range(19), mitotic=0.2)     # with enough cells of class 11
    test, test_labels = simulated_cells(folder/'test', args.test_fields, [seed, 1], **even)
    settings = dict(arch=args.arch, epochs=args.epochs, batch_size=64, lr=3e-3, seed=seed)
    train_network(store, cell_labels, folder/'model', device='cpu', progress=False, **settings)
    net = load_network(folder/'model')
    trained = process_time()
    def see(cells): return torch.from_numpy(embeddings(net, cells, device='cpu', progress=False))
    features, test_features = see(store), see(test)
    with torch.inference_mode(): p = net.head(features).sigmoid().numpy()
    targets, truth = cell_targets(cell_labels), cell_targets(test_labels)
    confidence = np.where(targets > 0, p, 1 - p).min(1)     # too high on training cells, but only its order matters
    cap, choices = ways(cell_labels, features.numpy(), confidence, seed)
    aps = []
    for rows in choices.values():
        head = train_head(features, torch.from_numpy(targets), rows, args.steps, seed)
        with torch.inference_mode(): aps.append(class_average_precision(head(test_features).sigmoid().numpy(), truth))
    counts = targets.sum(0).astype(int)
    print(f'seed {seed}: {len(store):,} training cells, {len(test):,} test cells, cap {cap}; '
          f'cells of each class: {" ".join(map(str, counts))}; CPU time {trained - began:.0f} s to simulate and train, '
          f'{process_time() - trained:.0f} s for the heads', flush=True)
    return list(choices), np.array(aps), counts, [len(r) for r in choices.values()]


def report(names, aps, counts, rows):
    "Print a table of the ways from aps (seeds, ways, 19), counts (seeds, 19) and rows (seeds, ways)."
    rare = (counts < np.median(counts, 1, keepdims=True)/3) & (counts > 0)
    def part(where):
        return np.array([[np.nanmean(np.where(w, ap, np.nan)) for ap in seed] for seed, w in zip(aps, where)])
    columns = [part(counts > 0), part(rare), part((counts > 0) & ~rare)]
    print(f'\nrare: fewer cells than a third of the median class, {rare.sum(1).mean():.1f} of 19 classes. '
          f'Mean over {len(aps)} seeds; in brackets the difference from no balance, and its standard error.\n')
    print('| way | rows | AP, all classes | rare | others |\n|---|---|---|---|---|')
    def cell(column, w):
        change = column[:, w] - column[:, 0]
        error = change.std(ddof=1)/np.sqrt(len(change)) if len(change) > 1 else np.nan
        return f'{column[:, w].mean():.3f}' + (f' ({change.mean():+.3f} ± {error:.3f})' if w else '')
    for w, name in enumerate(names):
        print('|', name, '|', f'{np.mean(rows, 0)[w]:,.0f}', '|', ' | '.join(cell(c, w) for c in columns), '|')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--fields', type=int, default=640)
    parser.add_argument('--test-fields', type=int, default=152)
    parser.add_argument('--epochs', type=int, default=5)
    parser.add_argument('--steps', type=int, default=400, help='training steps of each head')
    parser.add_argument('--arch', default='mobilenetv3_small_050')
    parser.add_argument('--weak', action='store_true', help='give cells the labels of their image, not the true ones')
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings('ignore')
    results = []
    for seed in range(args.seeds):
        with TemporaryDirectory() as folder: results.append(one_seed(Path(folder), seed, args))
    names, aps, counts, rows = zip(*results)
    report(names[0], np.array(aps), np.array(counts), rows)
    print(f'\n{process_time():.0f} s of CPU time, one thread; {args}\n{machine(torch, np)}')


if __name__ == '__main__': main()
