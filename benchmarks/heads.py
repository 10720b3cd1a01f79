"""A head on features compared with a network's own head: `python benchmarks/heads.py [--seeds 3]`

A small network learns from simulated cells with true labels. Heads are then trained on its features, with the same
labels and with 300 of them, and on the features of a network with random weights. All predict the cells of other
images; the measure is macro average precision. Without augmentation and TTA everywhere, so that heads see what the
network sees.
"""
import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import timm
import torch
from common import clock, machine
from learning import Cells, label_sets
from sklearn.metrics import average_precision_score

from hpa_cells.classes import n_classes
from hpa_cells.dataset import probability_columns
from hpa_cells.network import CellNet
from hpa_cells.models import load_network
from hpa_cells.train import train_network
from hpa_cells.predict import embeddings, predict_cells
from hpa_cells.features import Features
from hpa_cells.head import predict_head, train_head

quiet = dict(device='cpu', precision='float32', progress=False)


def macro_ap(table, targets):
    "Mean average precision over the classes that occur."
    p = table[probability_columns].to_numpy()
    return np.mean([average_precision_score(targets[:, c], p[:, c]) for c in range(n_classes) if targets[:, c].any()])


def one_seed(folder, fields, test_fields, epochs, seed):
    "Macro AP and CPU seconds of each way."
    args = SimpleNamespace(field_size=384, crop=64, size=48)
    train = Cells(folder/'train', label_sets(fields, 6, seed), args, seed)
    test = Cells(folder/'test', label_sets(test_fields, 3, seed + 100), args, seed + 100)
    labels, rows = train.true_labels, {}
    settings = dict(arch='test_resnet', epochs=epochs, lr=4e-3, hidden=256, seed=seed, augment=False, **quiet)
    _, seconds = clock(lambda: train_network(train.store, labels, folder/'model', **settings))
    net = load_network(folder/'model')
    own = predict_cells(net, test.store, tta=False, **quiet)
    rows["network with its own head, focal loss"] = macro_ap(own, test.truth), seconds
    few = labels.iloc[np.sort(np.random.default_rng(seed).choice(len(labels), 300, replace=False))]
    torch.manual_seed(seed)
    for name, body, cells in (("its features", net, labels), ("its features, 300 cells", net, few),
                              ("features of a random network", CellNet('test_resnet', hidden=256).eval(), labels)):
        seen, unseen = (Features(d.store.table(['ID', 'cell']), embeddings(body, d.store, **quiet))
                        for d in (train, test))
        for kind in ('linear', 'mlp'):
            head, seconds = clock(lambda: train_head(seen, cells, kind, seed=seed))
            rows[f"{kind} head on {name}"] = macro_ap(predict_head(head, unseen), test.truth), seconds
    return rows, len(train.store), len(test.store)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in dict(seeds=3, fields=160, test_fields=60, epochs=10).items():
        parser.add_argument(f'--{name.replace("_", "-")}', type=int, default=value)
    args = parser.parse_args()
    print(machine(torch, timm))
    found = []
    for seed in range(args.seeds):
        with TemporaryDirectory() as folder:
            rows, n, m = one_seed(Path(folder), args.fields, args.test_fields, args.epochs, seed)
        print(f'seed {seed}: {n} cells, test {m}', {k: round(float(v[0]), 3) for k, v in rows.items()}, flush=True)
        found.append(rows)
    print('| trained | macro AP | seconds |\n|---|---|---|')
    for name in found[0]:
        ap, seconds = np.array([r[name] for r in found]).T
        print(f'| {name} | {ap.mean():.3f} ± {ap.std():.3f} | {seconds.mean():.0f} |')


if __name__ == '__main__': main()
