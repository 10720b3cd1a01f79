"""The recipes of a run, compared: `python benchmarks/recipes.py [--seeds 3] [--seed 20] [--out recipes.md]`

The library's own stages `train` and `pseudo` learn from simulated cells with each recipe, and the last model predicts the
cells of other simulated images, whose true labels are known. Data and networks are those of `learning.py`. Results are
kept in --folder; rerun the same command to resume. `--set networks=1 rounds=4` measures other settings as well.
"""
import os
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')     # before torch: spinning threads are slow on a busy machine
import argparse
import warnings
from pathlib import Path
from tempfile import gettempdir
from time import process_time

import numpy as np
import pandas as pd
import timm
import torch
from common import machine
from learning import Cells, label_sets

from hpa_cells.classes import MITOTIC, format_labels
from hpa_cells.crossfit import Run
from hpa_cells.dataset import probability_columns
from hpa_cells.files import Journal, atomic_path
from hpa_cells.fuse import fuse_image, image_scores, undo_focal
from hpa_cells.predict import predict_cells
from hpa_cells.recorder import class_average_precision


class RecipeRun(Run):
    "A run on cells in memory."
    def __init__(self, folder, cells, **options):
        super().__init__(folder, progress=False, **options)
        self.memory = cells.store
        self.memory.cells['made_from'] = ''
        self.folder.mkdir(parents=True, exist_ok=True)
        self.table = self.folder/'train.csv'
        rows = (f'{ID},{format_labels(label)}\n' for ID, label in cells.labels.itertuples(index=False))
        self.table.write_text('ID,Label\n' + ''.join(rows))
    def store(self): return self.memory


def average_precision(table, test):
    "Macro average precision of the true cell labels, of all classes and without class 11."
    ap = class_average_precision(table[probability_columns], test.truth)
    return float(np.mean(ap)), float(np.delete(ap, MITOTIC).mean())


def measure(recipe, changes, train, test, folder, args, seed):
    "Train with a recipe; return the scores of the last model and the CPU time, in seconds for 1,000 cells."
    settings = dict(arch=args.arch, crop_size=args.size, epochs=args.epochs, pseudo_epochs=args.more, lr=args.lr,
                    folds=0, seed=seed, recipe=recipe) | changes
    run, began = RecipeRun(folder, train, device=args.device, **settings), process_time()
    run.train(run.table)
    run.pseudo(run.table)
    cpu, model = process_time() - began, run.models/run._last_model()
    alone, many = (undo_focal(predict_cells(model, test.store, tta=tta, batch_size=256, device=args.device,
                                            progress=False)) for tta in (False, True))
    def fused(weight): return fuse_image(many, image_scores(many, 'mean'), weight) if weight else many
    found = dict(alone=alone, submitted=fused(run.settings.image_weight), steps=fused(0.7))
    scores = {name: average_precision(table, test) for name, table in found.items()}
    return dict(cpu=1000*cpu/len(train.store), **{name: s[0] for name, s in scores.items()},
                without_11=scores['steps'][1])


def parse_changes(words):
    "Settings from words such as networks=1, with the types of their defaults."
    kinds = {name: type(value) for name, value in vars(Run('.').settings).items()}
    found = dict(word.split('=', 1) for word in words)
    return {name: text == 'True' if kinds[name] is bool else kinds[name](text) for name, text in found.items()}


def report(rows, args, settings):
    "The report in Markdown: mean and spread over seeds, and paired differences from `plain`."
    if not rows: return 'no results yet\n'
    table = pd.DataFrame(rows).set_index('seed')
    text = (f'{machine(torch, timm)}; {settings}\n\n### Recipes\n\nMacro average precision of true cell labels, cells of '
            'unseen images.\n\n| recipe | network alone | as submitted | with TTA and image x cell | without class 11 '
            '| difference from plain | CPU s for 1,000 cells | seeds |\n|---|---|---|---|---|---|---|---|\n')
    plain = table[table.row == 'plain'].steps
    for row, of in table.groupby('row', sort=False):
        def cell(name): return f'{of[name].mean():.3f} ± {of[name].std(ddof=len(of) > 1):.3f}'
        pairs = (of.steps - plain.reindex(of.index)).dropna()
        paired = f'{pairs.mean():+.3f} ({pairs.min():+.3f} to {pairs.max():+.3f})' if len(pairs) else ''
        text += (f'| {row} | {cell("alone")} | {cell("submitted")} | {cell("steps")} | {cell("without_11")} | {paired} '
                 f'| {of.cpu.mean():.0f} | {", ".join(map(str, of.index))} |\n')
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--seeds', type=int, default=3, help='number of seeds')
    add('--seed', type=int, default=20, help='first seed')
    add('--recipes', nargs='+', default=['plain', 'best'], help='recipes to measure')
    add('--set', nargs='+', default=[], metavar='NAME=VALUE', help='change settings of all these recipes')
    add('--fields', type=int, default=520, help='training images')
    add('--test-fields', type=int, default=240, help='test images')
    add('--least', type=int, default=8, help='minimum training images per class; the test has two more')
    add('--field-size', type=int, default=320, help='side of the images, px')
    add('--crop', type=int, default=64, help='side of the stored crops, px')
    add('--size', type=int, default=48, help='side of the crops that the network gets, px')
    add('--arch', default='test_resnet', help='timm backbone')
    add('--epochs', type=int, default=10, help='epochs on single-label cells')
    add('--more', type=int, default=3, help='epochs of a round')
    add('--lr', type=float, default=7e-3, help='largest learning rate')
    add('--device', default='auto', help='auto, cpu, cuda ...')
    add('--threads', type=int, default=1, help='CPU threads')
    add('--folder', default=f'{gettempdir()}/hpa_cells-recipes', help='folder of results, to resume')
    add('--out', default=None, help='file for the report')
    add('--table', action='store_true', help='only report finished results')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter('ignore')
    names = 'fields', 'test_fields', 'least', 'field_size', 'crop', 'size', 'arch', 'epochs', 'more', 'lr'
    journal, settings = Journal(Path(args.folder)/'results.jsonl'), {n: getattr(args, n) for n in names}
    changes = parse_changes(args.set)
    for seed in range(args.seed, args.seed + args.seeds):
        done = {r['row'] for r in journal.read() if r['settings'] == settings and r['seed'] == seed}
        wanted = {' '.join([recipe, *args.set]): recipe for recipe in args.recipes}
        if args.table or not wanted.keys() - done: continue
        folder = Path(args.folder)/f's{seed}'
        train, test = (Cells(folder/part, label_sets(n, least, 10*seed + k), args, 10*seed + k) for k, (part, n, least)
                       in enumerate((('train', args.fields, args.least), ('test', args.test_fields, args.least + 2))))
        for row, recipe in wanted.items():
            if row in done: continue
            where = folder/row.replace(' ', '-')
            found = measure(recipe, changes, train, test, where, args, seed)
            journal.append(dict(settings=settings, seed=seed, row=row, **found))
            print(f'seed {seed}, {row}: ' + ', '.join(f'{n} {v:.3f}' for n, v in found.items()), flush=True)
    text = report([r for r in journal.read() if r['settings'] == settings], args, settings)
    if args.out:
        with atomic_path(args.out) as p: Path(p).write_text(text)
    print(text)


if __name__ == '__main__': main()
