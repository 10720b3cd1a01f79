"""The worth of each lever of one training: `python benchmarks/levers.py [--seeds 3] [--out levers.md]`

Paired: in each seed every lever trains on the same simulated cells from the same initial weights, and predicts the
same cells of other images. Measure: macro average precision of the true cell labels. Results are kept in --folder;
rerun the same command to resume. `--speed` only measures the CPU time of the changes of a batch.
"""
import os
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')     # before torch: spinning threads are slow on a busy machine
import argparse
import warnings
from pathlib import Path
from tempfile import gettempdir
from time import process_time

import pandas as pd
import timm
import torch
from common import machine
from learning import Cells, label_sets

from hpa_cells.augment import (
    add_noise, blur_channels, change_brightness, change_gamma, rotate_and_scale, spread, turn_and_flip)
from hpa_cells.dataset import probability_columns, weigh_cells
from hpa_cells.files import Journal, atomic_path
from hpa_cells.predict import predict_cells
from hpa_cells.recorder import class_average_precision
from hpa_cells.train import train_network

photo = dict(blur=0.7, gamma=0.2, noise=0.02, brightness=0.2)
levers = {
    'true cell labels': {
        'as before (quarter turns, flips)': {},
        'free rotation': dict(rotate=True),
        'free rotation, scale 0.25': dict(rotate=True, scale=0.25),
        'brightness 0.2': dict(brightness=0.2),
        'blur 0.7 px, gamma 0.2, noise 0.02, brightness 0.2': photo,
        'all changes together': photo | dict(rotate=True, scale=0.25),
        'moving average 0.98': dict(ema=0.98),
        'moving average 0.995': dict(ema=0.995),
        'warm-up 0.1 instead of 0.25': dict(warmup=0.1),
        'balance sqrt': dict(balance='sqrt'),
        'balance effective': dict(balance='effective'),
        'balance: cap 300, floor 60': dict(balance=(300, 60)),
    },
    'image labels copied to every cell': {
        'weight 1 for every cell': {},
        'cut cells count less': dict(cut=0.5),
        'dim cells count less': dict(dim=0.02),
        'outlier cells count less': dict(outlier=2.5),
        'cut, dim and outlier cells count less': dict(cut=0.5, dim=0.02, outlier=2.5),
    },
}
weighs = 'cut', 'dim', 'outlier'     # parameters of `weigh_cells`; the others belong to `train_network`


def measure(seed, args, done):
    "Yield (labels, lever, macro average precision, CPU seconds) of one seed."
    folder = Path(args.folder)/f's{seed}'
    train, test = (Cells(folder/part, label_sets(n, args.least, 10*seed + k), args, 10*seed + k)
                   for k, (part, n) in enumerate((('train', args.fields), ('test', args.test_fields))))
    tables = dict(zip(levers, (train.true_labels, train.image_labels)))
    for kind, found in levers.items():
        for name, options in found.items():
            if (kind, name) in done: continue
            began, model = process_time(), folder/'models'/f'{kind} {name}'.replace(' ', '-')
            weights = {k: v for k, v in options.items() if k in weighs}
            labels = weigh_cells(tables[kind], train.store.cells, **weights) if weights else tables[kind]
            train_network(train.store, labels, model, arch=args.arch, epochs=args.epochs, lr=args.lr, hidden=256,
                          dropout=0.2, seed=seed, device='cpu', progress=False,
                          **{k: v for k, v in options.items() if k not in weighs})
            p = predict_cells(model, test.store, tta=False, batch_size=256, device='cpu', progress=False)
            ap = class_average_precision(p[probability_columns], test.truth)
            yield kind, name, float(ap.mean()), process_time() - began


def speed(size, n=32, repeats=5):
    "Yield (change, CPU milliseconds) for a batch of n crops."
    side = torch.linspace(-1, 1, size)
    crops = (255*torch.rand(n, 4, size, size)*(side**2 + side[:, None]**2 < 0.8)).to(torch.uint8)
    angles, sizes, factors = 6.28*torch.rand(n), spread(torch.rand(n), 0.25), spread(torch.rand(n, 4), 0.2)
    changes = {
        'quarter turns, flips': lambda: turn_and_flip(crops, torch.randint(8, (n,))),
        'rotation, scale': lambda: rotate_and_scale(crops, angles, sizes),
        'blur': lambda: blur_channels(crops, 0.7*torch.rand(n, 4), 0.7),
        'brightness': lambda: change_brightness(crops, factors),
        'gamma': lambda: change_gamma(crops, factors),
        'noise': lambda: add_noise(crops, 5*torch.randn(n, 4, size, size))}
    for name, change in changes.items():
        change()
        began = process_time()
        for _ in range(repeats): change()
        yield name, (process_time() - began)/repeats*1000


def report(rows, args):
    "Markdown tables: mean of each lever, mean and spread of its difference to the first row of its table."
    text = f'{machine(torch, timm)}; {vars(args)}\n'
    for kind, found in pd.DataFrame(rows).groupby('labels', sort=False):
        table = found.pivot(index='seed', columns='lever', values='macro')[list(levers[kind])]
        differences, cpu = table.sub(table.iloc[:, 0], axis=0), found.groupby('lever').cpu.mean()
        text += f'\n### {kind}\n\n| | macro AP | difference | sd | each seed | CPU s |\n|---|---|---|---|---|---|\n'
        for name, values in differences.items():
            each = ', '.join(f'{v:+.3f}' for v in values)
            text += (f'| {name} | {table[name].mean():.3f} | {values.mean():+.3f} | {values.std():.3f} | {each} '
                     f'| {cpu[name]:.0f} |\n')
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--seeds', type=int, default=3, help='number of seeds')
    add('--seed', type=int, default=0, help='first seed')
    add('--fields', type=int, default=80, help='training images')
    add('--test-fields', type=int, default=80, help='test images')
    add('--least', type=int, default=6, help='minimum images per class')
    add('--field-size', type=int, default=320, help='side of the images, px')
    add('--size', type=int, default=48, help='side of the crops, px')
    add('--arch', default='test_resnet', help='timm backbone')
    add('--epochs', type=int, default=6, help='epochs of each training')
    add('--lr', type=float, default=7e-3, help='largest learning rate')
    add('--folder', default=f'{gettempdir()}/hpa_cells-levers', help='folder of results, to resume')
    add('--speed', action='store_true', help='only measure the CPU time of the changes')
    add('--out', default=None, help='file for the report')
    args = parser.parse_args()
    args.crop = args.size
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    if args.speed:
        for name, ms in speed(args.size): print(f'{name}: {ms:.1f} ms')
        return
    journal = Journal(Path(args.folder)/'results.jsonl')
    Path(args.folder).mkdir(parents=True, exist_ok=True)
    for seed in range(args.seed, args.seed + args.seeds):
        done = {(r['labels'], r['lever']) for r in journal.read() if r['seed'] == seed}
        if len(done) == sum(map(len, levers.values())): continue
        for kind, name, macro, cpu in measure(seed, args, done):
            journal.append(dict(seed=seed, labels=kind, lever=name, macro=macro, cpu=cpu))
            print(f'seed {seed}, {kind}, {name}: {macro:.4f} ({cpu:.0f} s)', flush=True)
    text = report(journal.read(), args)
    if args.out:
        with atomic_path(args.out) as p: Path(p).write_text(text)
    print(text)


if __name__ == '__main__': main()
