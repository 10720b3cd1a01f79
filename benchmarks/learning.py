"""What each part of learning is worth: `python benchmarks/learning.py [--quick] [--seeds 3] [--out learning.md]`; on real images: `--real ../shared/data`

Fields are simulated with the real class skew; 30 % of the labels are not shown by a cell, and the truth of each cell is known. Networks learn from the
image labels in several ways, and are asked about the cells of other fields. What is done is kept in --folder; killed and started again, it goes on.
At scale: `--arch densenet121 --field-size 1024 --size 128 --fields 2000 --test-fields 500 --epochs 12 --more 6 --lr 1e-3` on a GPU.
"""
import os
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')   # before torch: threads that spin while they wait slow each other down on a busy machine
import argparse
import json
import warnings
from pathlib import Path
from tempfile import gettempdir
from time import process_time

import cv2
import numpy as np
import pandas as pd
import timm
import torch
from common import machine

from hpa_cells.classes import class_names, format_labels, labels_to_targets, n_classes, parse_labels, read_labels
from hpa_cells.dataset import join_cell_labels, make_folds, measured_weights, single_label_cells
from hpa_cells.fields import atomic_path, open_fields
from hpa_cells.infer import (attention_scores, embeddings, fuse_image, image_scores, lower_cut, negative_from_others, predict_cells, train_attention,
                             undo_focal)
from hpa_cells.pseudo import probability_columns, pseudo_labels, usual_shares
from hpa_cells.segment import get_segmenter, write_label_map
from hpa_cells.simulate import draw_label_sets, simulate_field
from hpa_cells.store import crop_shard, merge_index, open_store, plan_shards
from hpa_cells.train import class_average_precision, train_network


# Data
def label_sets(n, least, seed):
    "n label sets with the real skew, and more of rare classes until each class has `least` images."
    sets, more = draw_label_sets(n, [seed, 0]), draw_label_sets(60_000, [seed, 1])
    for c in range(n_classes): sets += [s for s in more if c in s][:max(0, least - sum(c in s for s in sets))]
    return sets


class SimulatedFields:
    "Fields made when they are read; their label maps and the truth about their cells are left in a folder."
    def __init__(self, sets, masks, size, seed): self.sets, self.masks, self.size, self.seed = {f'{i:05}': s for i, s in enumerate(sets)}, masks, size, seed
    def read(self, ID):
        made = simulate_field(self.size, labels=self.sets[ID], seed=[self.seed, 2, int(ID)])
        write_label_map(self.masks/f'{ID}.png', made.cells)
        (self.masks/f'{ID}.json').write_text(json.dumps([format_labels(s) for s in made.labels]))
        return made.field


class MemoryStore:
    "All cells of a store in memory, shrunk to `size` px."
    def __init__(self, store, size):
        self.size, self.cells, crops = size, store.table(), store.read(np.arange(len(store)))
        if size != store.size: crops = np.stack([cv2.resize(c.transpose(1, 2, 0), (size, size), interpolation=cv2.INTER_AREA).transpose(2, 0, 1) for c in crops])
        self.crops = np.ascontiguousarray(crops)
    def __len__(self): return len(self.crops)
    def table(self, columns=None): return self.cells[columns] if columns else self.cells
    def read(self, rows): return self.crops[rows]


class Cells:
    "Cells of simulated fields: their store, the labels of their images, the true labels of each."
    def __init__(self, folder, sets, args, seed):
        masks, ids = folder/'masks', [f'{i:05}' for i in range(len(sets))]
        masks.mkdir(parents=True, exist_ok=True)
        for number, some in plan_shards(folder/'cells', ids):
            crop_shard(SimulatedFields(sets, masks, args.field_size, seed), masks, folder/'cells', number, some, size=args.crop, nuclei=False)
        merge_index(folder/'cells')
        self.store, self.labels = MemoryStore(open_store(folder/'cells'), args.size), pd.DataFrame(dict(ID=ids, Label=sets))
        texts = {ID: json.loads((masks/f'{ID}.json').read_text()) for ID in ids}
        keys = self.store.cells[['ID', 'cell']]
        truth = [frozenset(parse_labels(t)) if (t := texts[i][c - 1]) else frozenset() for i, c in keys.itertuples(index=False)]
        image = dict(zip(ids, sets))
        self.image_labels, self.true_labels = (keys.assign(Label=pd.Series(s, dtype=object), source=n) for s, n in (([image[i] for i in keys.ID], 'image'), (truth, 'true')))
        self.truth = labels_to_targets(truth)


# Learning
class Run:
    "The networks of one seed; each is trained once."
    def __init__(self, args, seed):
        self.args, self.seed, self.folder = args, seed, Path(args.folder)/f's{seed}'
        self.train, self.test = (Cells(self.folder/part, label_sets(n, least, 10*seed + k), args, 10*seed + k)
                                 for k, (part, n, least) in enumerate((('train', args.fields, args.least), ('test', args.test_fields, args.least + 2))))
        self.kept, self.cpu = {}, 0

    def learn(self, name, cell_labels, epochs, start=None, **options):
        "Train, or find, a network; as many cells are looked at whatever their number."
        epochs = max(1, round(epochs*len(self.train.store)/len(cell_labels)))
        self.settings = dict(arch=self.args.arch, batch_size=self.args.batch, hidden=self.args.hidden, dropout=self.args.dropout, seed=self.seed, device=self.args.device)
        began = process_time()
        train_network(self.train.store, cell_labels, self.model(name), epochs=epochs, lr=self.args.lr*(0.5 if start else 1), start=start and self.model(start),
                      progress=False, **self.settings | options)
        self.cpu += process_time() - began
        return name

    def model(self, name): return self.folder/'models'/name

    def predict(self, name, part='test', flips=False):
        "Probabilities of all cells of a part, kept in memory."
        key = name, part, flips
        if key not in self.kept:
            began, store = process_time(), getattr(self, part).store
            self.kept[key] = predict_cells(self.model(name), store, flips=flips, batch_size=256, device=self.args.device, progress=False)
            self.cpu += process_time() - began
        return self.kept[key]

    def soft(self, name, **options):
        "Soft targets for every cell from what a network says, put right for the focal loss, and what the image's labels say."
        return pseudo_labels(undo_focal(self.predict(name, 'train')), self.train.labels, shown=usual_shares(), soft=True, single=True, **options)

    def score(self, predictions): return class_average_precision(predictions[probability_columns], self.test.truth)


def networks(run):
    "Every network by name, in an order in which each has what it starts from: yields (row, model)."
    train, more, first = run.train, run.args.more, run.args.epochs
    single = single_label_cells(train.store.table(['ID', 'cell']), train.labels)
    run.learn('a0', train.image_labels, first)
    yield '(a) image labels copied to every cell', run.learn('a', train.image_labels, more, 'a0')
    run.learn('e0', train.true_labels, first)
    yield '(e) true cell labels', run.learn('e', train.true_labels, more, 'e0')
    yield '(d) soft targets for every cell, from the first network of (a)', run.learn('d1', run.soft('a0'), more, 'a0')
    run.learn('b0', single, first)
    yield '(b) single-label cells only', run.learn('b', single, more, 'b0')
    multi = pseudo_labels(undo_focal(run.predict('b0', 'train')), train.labels, shown=usual_shares(), trained_ids=single.ID.unique())
    yield '(c) + pseudo-labels of the first network of (b)', run.learn('c', join_cell_labels(single, multi), more, 'b0')
    yield '(d) a second round', run.learn('d2', run.soft('d1'), more, 'd1')
    yield '(e) true cell labels, as long as (d)', run.learn('e2', train.true_labels, more, 'e')


def further(run):
    "What else may be done in training, each in place of the second round."
    train, more = run.train, run.args.more
    plain = pseudo_labels(run.predict('b0', 'train'), train.labels)
    single = single_label_cells(train.store.table(['ID', 'cell']), train.labels)
    yield '(c) with p > 0.5 of the network as it is', run.learn('c-half', join_cell_labels(single, plain), more, 'b0')
    soft = run.soft('d1')
    weights = measured_weights(train.store.cells, list(soft.Label))
    yield '(d) second round, cut and dim cells count less', run.learn('d2-weights', soft.assign(weight=weights), more, 'd1')
    yield '(d) second round, classes balanced (sqrt)', run.learn('d2-balance', soft, more, 'd1', balance='sqrt')


def at_test_time(run, model):
    "What may be done after training, one after another: yields (row, predictions)."
    p = run.predict(model)
    yield 'the network alone', p
    p = run.predict(model, flips=True)
    yield '+ eight views', p
    p = undo_focal(p)
    for how in ('noisy-or', 'max', 'mean'): yield f'+ image x cell, image = {how} of its cells', fuse_image(p, image_scores(p, how), 0.7)
    features = [embeddings(run.model(model), getattr(run, part).store, batch_size=256, device=run.args.device, progress=False) for part in ('train', 'test')]
    pool = train_attention(features[0], run.train.store.cells.ID, run.train.labels, seed=run.seed)
    images, _ = attention_scores(pool, features[1], run.test.store.cells.ID)
    yield '+ image x cell, image = attention pooling', fuse_image(p, images, 0.5)
    both = images.assign(**{c: np.sqrt(images[c]*image_scores(p, 'mean')[c]) for c in probability_columns})
    fused = fuse_image(p, both, 0.7)
    yield '+ image x cell, image = mean and attention', fused
    yield '    and class 18 from the others', negative_from_others(fused, 'product')
    yield '    and cut cells lower', lower_cut(fused, 0.3, 1, 0.5)


def keep(path, row):
    with open(path, 'a') as f: f.write(json.dumps(row) + '\n')


def simulated(args):
    path = Path(args.folder)/'results.jsonl'
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {k: getattr(args, k) for k in ('arch', 'fields', 'test_fields', 'least', 'field_size', 'crop', 'size', 'epochs', 'more', 'batch', 'lr', 'hidden', 'dropout')}
    read = lambda: [r for r in map(json.loads, path.read_text().splitlines() if path.exists() else []) if r['settings'] == settings]
    for seed in range(args.seed, args.seed + args.seeds):
        done, run = {r['row'] for r in read() if r['seed'] == seed}, None
        if 'finished' in done or args.table: continue
        run = Run(args, seed)
        def note(kind, name, ap):
            row = f'{kind}: {name}'
            if row in done: return
            keep(path, dict(settings=settings, seed=seed, row=row, macro=float(np.mean(ap)), ap=np.round(ap, 4).tolist(), cpu=round(run.cpu)))
            print(f'seed {seed}, {row}: {np.mean(ap):.4f} ({run.cpu:.0f} s)', flush=True)
        for name, model in networks(run): note('network', name, run.score(run.predict(model)))
        for model in ('d2', 'e2'):
            for name, p in at_test_time(run, model): note(f'after {model}', name, run.score(p))
        if args.further:
            for name, model in further(run): note('network', name, run.score(run.predict(model)))
        keep(path, dict(settings=settings, seed=seed, row='finished', macro=0, ap=[], cpu=round(run.cpu)))
    return tables([r for r in read() if r['row'] != 'finished'], args, settings)


def tables(rows, args, settings):
    "Markdown: mean and spread over seeds, and the share of the ceiling."
    rows = pd.DataFrame(rows).drop_duplicates(['seed', 'row'], keep='last')
    rows['kind'], rows['name'] = zip(*rows.row.str.split(': ', n=1))
    def block(kind, by=None):
        some, text = rows[rows.kind == kind], ''
        for name in some.name.drop_duplicates():
            values = some[some.name == name].set_index('seed').macro
            share = ''
            if by is not None: share = f'{(values/by.reindex(values.index)).mean():.1%}'
            text += f'| {name.strip()} | {values.mean():.3f} | {values.std():.3f} | {values.min():.3f} to {values.max():.3f} | {share} | {len(values)} |\n'
        return text
    of = lambda row: rows[rows.row == row].set_index('seed').macro
    head = '| | macro AP | sd | seeds from..to | of the ceiling | seeds |\n|---|---|---|---|---|---|\n'
    cpu = rows.groupby('seed').cpu.max()
    last = rows[rows.row == 'after d2: + image x cell, image = mean and attention']
    per_class = pd.DataFrame({k: np.mean(list(rows[rows.row == r].ap), 0) for k, r in (
        ('(a)', 'network: (a) image labels copied to every cell'), ('(b)', 'network: (b) single-label cells only'),
        ('(c)', 'network: (c) + pseudo-labels of the first network of (b)'), ('(d)', 'network: (d) a second round'),
        ('(d), image x cell', 'after d2: + image x cell, image = mean and attention'), ('(e)', 'network: (e) true cell labels, as long as (d)'))
        if (rows.row == r).any()})
    text = f"{machine(torch, timm)}; {settings}\n\n## Networks\n\nMacro average precision of true cell labels, cells of fields never seen; ceiling = (e), as long as (d).\n\n"
    text += head + block('network', of('network: (e) true cell labels, as long as (d)'))
    text += '\n## After training: the network of (d), second round\n\nCeiling = (e) alone.\n\n' + head + block('after d2', of('network: (e) true cell labels, as long as (d)'))
    text += '\n## After training: the same with the network of (e)\n\n' + head + block('after e2', of('network: (e) true cell labels, as long as (d)'))
    text += '\n## By class\n\n| class | ' + ' | '.join(per_class) + ' |\n' + '|---'*(1 + per_class.shape[1]) + '|\n'
    for c, values in per_class.iterrows(): text += f'| {class_names[c]} {c} | ' + ' | '.join(f'{v:.2f}' for v in values) + ' |\n'
    return text + f'\nCPU time of a seed: {cpu.mean():.0f} s of one core (without making the fields).\n'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--seeds', type=int, default=3)
    add('--seed', type=int, default=0, help='the first')
    add('--fields', type=int, default=520)
    add('--test-fields', type=int, default=240)
    add('--least', type=int, default=8, help='images that each class has at least in training; two more in the test')
    add('--field-size', type=int, default=320)
    add('--crop', type=int, default=None, help='px of the crops that are kept; without: --size')
    add('--size', type=int, default=48, help='px that the network sees')
    add('--arch', default='test_resnet')
    add('--epochs', type=float, default=5, help='of the first training')
    add('--more', type=float, default=3, help='of each that goes on')
    add('--batch', type=int, default=32)
    add('--lr', type=float, default=7e-3)
    add('--hidden', type=int, default=256)
    add('--dropout', type=float, default=0.2)
    add('--device', default='auto')
    add('--threads', type=int, default=1)
    add('--folder', default=f'{gettempdir()}/hpa_cells-learning')
    add('--out', default=None, help='file for the tables')
    add('--further', action='store_true', help='also weights, balance, and the plain rule')
    add('--quick', action='store_true', help='a look in two minutes: one seed, few fields, one epoch')
    add('--table', action='store_true', help='only the table of what is done')
    add('--real', default=None, help='folder with fields512/: real images instead')
    args = parser.parse_args()
    if args.quick: args.seeds, args.fields, args.test_fields, args.least, args.epochs, args.more, args.folder = 1, 60, 30, 3, 1, 1, args.folder + '-quick'
    args.crop = args.crop or args.size
    torch.set_num_threads(args.threads)
    warnings.simplefilter('ignore')
    text = real(args) if args.real else simulated(args)
    if args.out:
        with atomic_path(args.out) as p: Path(p).write_text(text)
    print(text)


if __name__ == '__main__': main()
