"""What each part of learning is worth: `python benchmarks/learning.py [--quick] [--seeds 3] [--out learning.md]`; on real images: `--real ../shared/data`

Fields are simulated with the real class skew; 30 % of the labels are not shown by a cell, and the truth of each cell is known. Networks learn from the
image labels in several ways, and are asked about the cells of other fields. What is done is kept in --folder; killed and started again, it goes on.
With --heads, for a machine with little time: one network a seed learns from copied image labels, and every row is a head on what it sees in the cells.
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
from attention import attention_scores, train_attention
from common import machine

from hpa_cells.classes import NEGATIVE, class_names, format_labels, labels_to_targets, n_classes, parse_labels, read_labels
from hpa_cells.dataset import (
    cell_targets, cell_weights, find_cells, join_cell_labels, probability_columns, single_label_cells)
from hpa_cells.folds import make_folds
from hpa_cells.balance import balance_rows
from hpa_cells.files import atomic_path
from hpa_cells.fields import open_fields
from hpa_cells.predict import embeddings, predict_cells
from hpa_cells.fuse import (
    calibrate, fit_calibration, fuse_image, image_scores, lower_cut, negative_from_others, undo_focal)
from hpa_cells.loss import focal_loss
from hpa_cells.network import CellHead
from hpa_cells.models import load_network
from hpa_cells.pseudo import pseudo_labels, usual_shares
from hpa_cells.segment import get_segmenter
from hpa_cells.labelmaps import write_label_map
from hpa_cells.shapes import draw_label_sets
from hpa_cells.simulate import simulate_field
from hpa_cells.shards import crop_shard, merge_index, plan_shards
from hpa_cells.store import open_store
from hpa_cells.recorder import class_average_precision
from hpa_cells.batches import pick_precision, turn_and_flip
from hpa_cells.train import train_network


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


def measured_weights(cells, label_sets, max_cut=0.5, dim=0.02):
    """Return a weight in 0..1 for each cell, less if it is cut off or dim.

    It falls linearly with the share cut off, down to 0 at `max_cut`, and with green brightness below `dim`. Negative
    cells are dim by definition and keep their weight.
    """
    whole = np.clip(1 - cells['cut'].to_numpy(float)/max_cut, 0, 1)
    bright = np.clip(cells['green'].to_numpy(float)/dim, 0, 1)
    bright[[NEGATIVE in s for s in label_sets]] = 1
    return (whole*bright).astype(np.float32)


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

    def predict(self, name, part='test', tta=False):
        "Probabilities of all cells of a part, kept in memory."
        key = name, part, tta
        if key not in self.kept:
            began, store = process_time(), getattr(self, part).store
            self.kept[key] = predict_cells(self.model(name), store, tta=tta, batch_size=256, device=self.args.device, progress=False)
            self.cpu += process_time() - began
        return self.kept[key]

    def soft(self, name, **options):
        "Soft targets for every cell from what a network says, put right for the focal loss, and what the image's labels say."
        return pseudo_labels(undo_focal(self.predict(name, 'train')), self.train.labels, shown=usual_shares(), soft=True, single=True, **options)

    def features(self, name, part):
        "Embeddings of all cells of a part."
        return embeddings(self.model(name), getattr(self, part).store, batch_size=256, device=self.args.device, progress=False)

    def score(self, predictions): return class_average_precision(predictions[probability_columns], self.test.truth)


class Heads(Run):
    "As a run, but each network is a head on one and the same body."
    def __init__(self, args, seed):
        super().__init__(args, seed)
        Run.learn(self, 'body', self.train.image_labels, args.epochs)
        began, self.body, self.heads = process_time(), load_network(self.model('body')), {}
        self.views = {part: torch.stack([torch.from_numpy(self.look(part, way)) for way in ways]) for part, ways in (('train', (0, 3, 6)), ('test', (0, 3, 5, 6)))}
        self.cpu += process_time() - began

    def look(self, part, way):
        "Embeddings of all cells turned one way: (N, D) float32."
        store, dtype = getattr(self, part).store, pick_precision('auto', torch.device('cpu'))
        found = []
        with torch.inference_mode(), torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
            for at in range(0, len(store), 256):
                crops = turn_and_flip(torch.from_numpy(store.read(range(at, min(at + 256, len(store))))), torch.tensor([way]))
                found.append(self.body.features(crops.contiguous(memory_format=torch.channels_last)).float())
        return torch.cat(found).numpy()

    def learn(self, name, cell_labels, epochs, start=None, balance=None, member=0):
        began, x, rng = process_time(), self.views['train'], np.random.default_rng([self.seed, member])
        torch.manual_seed(1000*self.seed + member)
        rows = find_cells(self.train.store.cells, cell_labels)
        targets, weights = torch.from_numpy(cell_targets(cell_labels)), torch.from_numpy(cell_weights(cell_labels))
        head, steps = CellHead(x.shape[2], n_classes, self.args.hidden, 0.3).train(), 12*len(self.train.store)//256
        optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
        chosen = np.arange(len(rows)) if balance is None else balance_rows(list(cell_labels.Label), rule=balance, seed=self.seed)
        order = np.concatenate([rng.permutation(chosen) for _ in range(-(-256*steps//len(chosen)))])
        for at in order[:256*steps].reshape(steps, 256):
            loss = focal_loss(head(x[torch.from_numpy(rng.integers(len(x), size=256)), rows[at]]), targets[at], weights[at])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        self.heads[name] = head.eval()
        self.cpu += process_time() - began
        return name

    def predict(self, name, part='test', tta=False):
        x = self.views[part]
        with torch.inference_mode(): p = torch.stack([self.heads[name](v).sigmoid() for v in (x if tta or part == 'train' else x[:1])]).mean(0)
        return pd.concat([getattr(self, part).store.table(['ID', 'cell', 'cut']), pd.DataFrame(p.numpy(), columns=probability_columns)], axis=1)

    def features(self, name, part): return self.views[part][0].numpy()


def networks(run):
    "Every network by name, in an order in which each has what it starts from: yields (row, model)."
    train, more, first = run.train, run.args.more, run.args.epochs
    single = single_label_cells(train.store.table(['ID', 'cell']), train.labels)
    multi = lambda p, **options: join_cell_labels(single, pseudo_labels(p, train.labels, trained_ids=single.ID.unique(), **options))
    run.learn('a0', train.image_labels, first)
    yield '(a) image labels copied to every cell', run.learn('a', train.image_labels, more, 'a0')
    run.learn('b0', single, first)
    yield '(b) single-label cells only', run.learn('b', single, more, 'b0')
    yield '(c) + pseudo-labels of (b), p > 0.5', run.learn('c-half', multi(run.predict('b0', 'train')), more, 'b0')
    yield '(c) + pseudo-labels of (b), shown=0.7', run.learn('c-hard', multi(undo_focal(run.predict('b0', 'train')), shown=usual_shares()), more, 'b0')
    yield '(c) + soft pseudo-labels of (b), shown=0.7', run.learn('c-soft', multi(undo_focal(run.predict('b0', 'train')), shown=usual_shares(), soft=True), more, 'b0')
    for start in 'ba':
        model = f'{start}0'
        for n in range(1, 5): yield f'(d) soft targets for all cells, round {n} from ({start})', (model := run.learn(f'd-{start}{n}', run.soft(model), more, model))
    soft = run.soft('d-b1')
    yield '(d) round 2 from (b), cut and dim cells count less', run.learn('d-weights', soft.assign(weight=measured_weights(train.store.cells, list(soft.Label))), more, 'd-b1')
    yield '(d) round 2 from (b), classes balanced (sqrt)', run.learn('d-balance', soft, more, 'd-b1', balance='sqrt')
    model = run.learn('e0', train.true_labels, first)
    for n in range(1, 5): model = run.learn(f'e{n}', train.true_labels, more, model)
    yield '(e) true cell labels, as long as round 2', 'e2'
    yield '(e) true cell labels, as long as round 4', 'e4'


def at_test_time(run, model):
    "What may be done after training, one after another: yields (row, predictions)."
    yield 'the network alone', run.predict(model)
    p = run.predict(model, tta=True)
    yield 'and the mean over turns and tta', p
    yield 'image x cell, image = mean of its cells, without undo_focal', fuse_image(p, image_scores(p, 'mean'), 0.7)
    p = undo_focal(p)
    for how in ('noisy-or', 'max', 'mean'): yield f'image x cell, image = {how} of its cells', fuse_image(p, image_scores(p, how), 0.7)
    pool = train_attention(run.features(model, 'train'), run.train.store.cells.ID, run.train.labels, seed=run.seed)
    images, _ = attention_scores(pool, run.features(model, 'test'), run.test.store.cells.ID)
    yield 'image x cell, image = attention pooling', fuse_image(p, images, 0.7)
    fused = fuse_image(p, mean_scores(images, image_scores(p, 'mean')), 0.7)
    yield 'image x cell, image = mean and attention', fused
    yield '  + class 18 from the others (product)', negative_from_others(fused, 'product')
    yield '  + cut cells lower', lower_cut(fused, 0.3, 1, 0.5)


def mean_scores(*tables):
    "The geometric mean of tables of predictions with the same rows."
    return tables[0].assign(**{c: np.prod([t[c] for t in tables], 0)**(1/len(tables)) for c in probability_columns})


def calibration_worth(run, model):
    "Log loss of probabilities on half of the test's images, before and after what is fitted on the other half: yields (row, value)."
    p, truth = run.predict(model), run.test.truth
    half = p.ID.astype(int).to_numpy() % 2 == 0
    loss = lambda p: float(-(truth*np.log(q := p[probability_columns].to_numpy().clip(1e-6, 1 - 1e-6)) + (1 - truth)*np.log(1 - q))[~half].mean())
    yield 'as the network says', loss(p)
    yield 'undo_focal', loss(undo_focal(p))
    yield 'undo_focal and a line for each class', loss(calibrate(undo_focal(p), fit_calibration(undo_focal(p)[half], truth[half])))


def ensemble(run, soft, start):
    "The mean of four networks that differ by their seed: only for heads, where it costs little."
    return [run.predict(run.learn(f'd-b4-{k}', soft, run.args.more, start, member=k), tta=True) for k in range(4)]


def keep(path, row):
    with open(path, 'a') as f: f.write(json.dumps(row) + '\n')


def simulated(args):
    path = Path(args.folder)/'results.jsonl'
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {k: getattr(args, k) for k in ('arch', 'fields', 'test_fields', 'least', 'field_size', 'crop', 'size', 'epochs', 'more', 'batch', 'lr', 'hidden', 'dropout', 'heads')}
    read = lambda: [r for r in map(json.loads, path.read_text().splitlines() if path.exists() else []) if r['settings'] == settings]
    for seed in range(args.seed, args.seed + args.seeds):
        done, run = {r['row'] for r in read() if r['seed'] == seed}, None
        if 'finished' in done or args.table: continue
        run = (Heads if args.heads else Run)(args, seed)
        def note(kind, name, ap):
            row = f'{kind}: {name}'
            if row in done: return
            keep(path, dict(settings=settings, seed=seed, row=row, macro=float(np.mean(ap)), ap=np.round(ap, 4).tolist(), cpu=round(run.cpu)))
            print(f'seed {seed}, {row}: {np.mean(ap):.4f} ({run.cpu:.0f} s)', flush=True)
        for name, model in networks(run): note('network', name, run.score(run.predict(model)))
        for model in ('d-b4', 'e4'):
            for name, p in at_test_time(run, model): note(f'after ({model[0]})', name, run.score(p))
        for name, model in dict(a='a', b='b', c='c-soft').items():
            p = undo_focal(run.predict(model, tta=True))
            note('fused', f'({name}) turns and tta, image x cell', run.score(fuse_image(p, image_scores(p, 'mean'), 0.7)))
        for name, value in calibration_worth(run, 'd-b4'): note('log loss', name, [value])
        if args.heads:
            p = undo_focal(mean_scores(*ensemble(run, run.soft('d-b3'), 'd-b3')))
            note('after (d)', 'four networks, image x cell, image = mean of its cells', run.score(fuse_image(p, image_scores(p, 'mean'), 0.7)))
        keep(path, dict(settings=settings, seed=seed, row='finished', macro=0, ap=[], cpu=round(run.cpu)))
    return tables([r for r in read() if r['row'] != 'finished'], args, settings)


def tables(rows, args, settings):
    "Markdown: mean and spread over seeds, and the share of the ceiling."
    rows = pd.DataFrame(rows)
    if not len(rows): return 'nothing is done yet\n'
    rows = rows.drop_duplicates(['seed', 'row'], keep='last')
    rows[['kind', 'name']] = rows.row.str.split(': ', n=1, expand=True)
    of = lambda kind, name: rows[(rows.kind == kind) & (rows.name == name)].set_index('seed').macro
    best = 'image x cell, image = mean of its cells'
    alone, fused = of('network', '(e) true cell labels, as long as round 4'), of('after (e)', best)
    def block(kind):
        text = '| | macro AP | sd | from..to | of (e) | of (e) with image x cell | seeds |\n|---|---|---|---|---|---|---|\n'
        for name, values in rows[rows.kind == kind].set_index('seed').groupby('name', sort=False).macro:
            share = ' | '.join(f'{(values/e.reindex(values.index)).mean():.1%}' for e in (alone, fused))
            text += f'| {name} | {values.mean():.3f} | {values.std(ddof=len(values) > 1):.3f} | {values.min():.3f}..{values.max():.3f} | {share} | {len(values)} |\n'
        return text
    what = 'heads on the body of (a)' if args.heads else 'networks'
    text = f'{machine(torch, timm)}; {settings}\n\n### Learning: {what}\n\nMacro average precision of true cell labels, cells of fields never seen.\n\n{block("network")}'
    for kind, title in (('after (d)', '(d), round 4 from (b)'), ('after (e)', '(e), true cell labels'), ('fused', '(a), (b), (c) likewise')):
        text += f'\n### After training: {title}\n\n{block(kind)}'
    text += '\n### Calibration of (d): mean log loss of test images\n\n| | log loss |\n|---|---|\n'
    for name, values in rows[rows.kind == 'log loss'].groupby('name', sort=False).macro: text += f'| {name} | {values.mean():.4f} |\n'
    shown = {'(a)': ('network', '(a) image labels copied to every cell'), '(b)': ('network', '(b) single-label cells only'),
             '(c)': ('network', '(c) + soft pseudo-labels of (b), shown=0.7'), '(d)': ('after (d)', 'the network alone'), '(d) image x cell': ('after (d)', best),
             '(e)': ('after (e)', 'the network alone'), '(e) image x cell': ('after (e)', best)}
    found = {k: rows[(rows.kind == kind) & (rows.name == name)].ap for k, (kind, name) in shown.items()}
    table = pd.DataFrame({k: np.mean(list(v), 0) for k, v in found.items() if len(v)})
    text += '\n### By class\n\n| class | ' + ' | '.join(table) + ' |\n' + '|---'*(1 + table.shape[1]) + '|\n'
    for c, values in table.iterrows(): text += f'| {class_names[c]} {c} | ' + ' | '.join(f'{v:.2f}' for v in values) + ' |\n'
    return text + f'\nCPU time of a seed: {rows.groupby("seed").cpu.max().mean():.0f} s of one core (without making the fields).\n'


# Real images
class Segmented:
    "Fields whose label maps are left in a folder when they are read."
    def __init__(self, fields, masks): self.fields, self.masks, self.segment = fields, masks, get_segmenter('plain')
    def read(self, ID):
        field = self.fields.read(ID)
        if not (self.masks/f'{ID}.png').exists(): write_label_map(self.masks/f'{ID}.png', self.segment(field)[0])
        return field


def real_store(source, folder, args):
    "The cells of all fields of a folder, in memory."
    fields, masks = open_fields(source), folder/'masks'
    masks.mkdir(parents=True, exist_ok=True)
    for number, ids in plan_shards(folder/'cells', fields.ids):
        crop_shard(Segmented(fields, masks), masks, folder/'cells', number, ids, size=args.crop, nuclei=False)
    merge_index(folder/'cells')
    return MemoryStore(open_store(folder/'cells'), args.size)


def image_ap(p, truth):
    "Macro (classes with an image) and micro average precision of images."
    return float(np.nanmean(class_average_precision(p, truth))), float(class_average_precision(np.ravel(p)[:, None], np.ravel(truth)[:, None])[0])


def real(args):
    source, folder = Path(args.real)/'fields512', Path(args.folder)/f'real-{args.crop}'
    store, labels = real_store(source/'train', folder, args), read_labels(source/'train.csv')
    labels = labels[labels.ID.isin(store.cells.ID)].reset_index(drop=True)
    sets, truth = dict(zip(labels.ID, labels.Label)), labels_to_targets(labels.Label.tolist())
    cells = store.table(['ID', 'cell'])
    cells = cells.assign(Label=pd.Series([sets[i] for i in cells.ID], dtype=object), source='image')
    starts = {'from scratch': None} | ({'from simulated cells': Path(args.start)} if args.start else {})
    rows = []
    for seed in range(args.seed, args.seed + args.seeds):
        folds = make_folds(labels.Label, seed=seed)
        scores = {'frequency of the classes': np.concatenate([np.tile(truth[folds != k].mean(0), ((folds == k).sum(), 1)) for k in range(5)])}
        found = {name: [] for name in starts}
        for k in range(5):
            unseen = set(labels.ID[folds == k])
            asked = np.flatnonzero(cells.ID.isin(unseen))
            for name, start in starts.items():
                model = folder/f'{name.replace(" ", "-")}-{args.real_epochs}-{seed}-{k}'
                train_network(store, cells[~cells.ID.isin(unseen)], model, arch=args.arch, epochs=args.real_epochs, batch_size=args.batch,
                              lr=args.lr*(0.5 if start else 1), hidden=args.hidden, dropout=args.dropout, seed=seed, device=args.device, start=start, brightness=0.2, progress=False)
                found[name].append(undo_focal(predict_cells(model, store, asked, batch_size=256, device=args.device, progress=False)))
        order = np.concatenate([np.flatnonzero(folds == k) for k in range(5)])
        for name, tables in found.items():
            for how in ('mean', 'max', 'noisy-or'):
                scores[f'{name}, {how} of the cells'] = image_scores(pd.concat(tables), how).set_index('ID').loc[labels.ID[order], probability_columns].to_numpy()
        rows += [dict(seed=seed, name=name, macro=m, micro=n) for name, p in scores.items() for m, n in [image_ap(p, truth[order])]]
    table = pd.DataFrame(rows).groupby('name', sort=False)[['macro', 'micro']].agg(['mean', 'std']).fillna(0)
    text = f'{machine(torch, timm)}; {args.arch}, {args.size} px, {args.real_epochs} epochs, {len(labels)} images, {len(store)} cells, {args.seeds} seeds\n\n'
    text += '### Real images: average precision of image labels, 5-fold by image\n\n| | macro AP | sd | micro AP | sd |\n|---|---|---|---|---|\n'
    return text + ''.join(f'| {name} | ' + ' | '.join(f'{v:.3f}' for v in row) + ' |\n' for name, row in zip(table.index, table.to_numpy()))


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
    add('--heads', action='store_true', help='heads on one body a seed, in place of networks')
    add('--quick', action='store_true', help='a look in two minutes: one seed, few fields, one epoch')
    add('--table', action='store_true', help='only the table of what is done')
    add('--real', default=None, help='folder with fields512/: real images instead')
    add('--start', default=None, help='with --real: folder of a model trained on simulated cells, to start from as well')
    add('--real-epochs', type=int, default=12)
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
