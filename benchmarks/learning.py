"""The value of each part of learning: `python benchmarks/learning.py [--quick] [--seeds 3] [--out learning.md]`

On simulated images with the class frequencies of the competition. 30 % of the labels of an image are not shown by a
cell, and the true labels of each cell are known. Networks learn from image labels in several ways, and predict the
cells of other images. Results are kept in --folder; rerun the same command to resume.
With --heads, for a machine with little time: one network per seed learns from copied image labels, and every row is a
head on its features.
On real images: `--real ../shared/data`.
At scale: `--arch densenet121 --field-size 1024 --size 128 --fields 2000 --test-fields 500 --epochs 12 --more 6
--lr 1e-3` on a GPU.
"""
import os
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')     # before torch: spinning threads are slow on a busy machine
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

from hpa_cells.classes import (
    class_names, format_labels, labels_to_targets, n_classes, parse_labels, read_labels)
from hpa_cells.dataset import (
    cell_targets, cell_weights, find_cells, join_cell_labels, probability_columns, single_label_cells, weigh_cells)
from hpa_cells.folds import make_folds
from hpa_cells.balance import balance_rows
from hpa_cells.files import Journal, atomic_path
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
    "n label sets with real class frequencies, and more of rare classes until each class has `least` images."
    sets, more = draw_label_sets(n, [seed, 0]), draw_label_sets(60_000, [seed, 1])
    for c in range(n_classes): sets += [s for s in more if c in s][:max(0, least - sum(c in s for s in sets))]
    return sets


class SimulatedFields:
    "Images that are simulated when read; label maps and true labels go to a folder."
    def __init__(self, sets, masks, size, seed):
        self.sets = {f'{i:05}': s for i, s in enumerate(sets)}
        self.masks, self.size, self.seed = masks, size, seed
    def read(self, ID):
        made = simulate_field(self.size, labels=self.sets[ID], seed=[self.seed, 2, int(ID)])
        write_label_map(self.masks/f'{ID}.png', made.cells)
        (self.masks/f'{ID}.json').write_text(json.dumps([format_labels(s) for s in made.labels]))
        return made.field


class MemoryStore:
    "All cells of a store in memory, resized to `size` px."
    def __init__(self, store, size):
        self.size, self.cells, crops = size, store.table(), store.read(np.arange(len(store)))
        def resize(crop):
            return cv2.resize(crop.transpose(1, 2, 0), (size, size), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
        self.crops = np.ascontiguousarray(crops if size == store.size else np.stack([resize(c) for c in crops]))
    def __len__(self): return len(self.crops)
    def table(self, columns=None): return self.cells[columns] if columns else self.cells
    def read(self, rows): return self.crops[rows]


class Cells:
    "Cells of simulated images: their store, the labels of their images, their true labels."
    def __init__(self, folder, sets, args, seed):
        masks, ids = folder/'masks', [f'{i:05}' for i in range(len(sets))]
        masks.mkdir(parents=True, exist_ok=True)
        fields = SimulatedFields(sets, masks, args.field_size, seed)
        for number, some in plan_shards(folder/'cells', ids):
            crop_shard(fields, masks, folder/'cells', number, some, size=args.crop, nuclei=False)
        merge_index(folder/'cells')
        self.store = MemoryStore(open_store(folder/'cells'), args.size)
        self.labels = pd.DataFrame(dict(ID=ids, Label=sets))
        texts = {ID: json.loads((masks/f'{ID}.json').read_text()) for ID in ids}
        keys, image = self.store.cells[['ID', 'cell']], dict(zip(ids, sets))
        def of_cell(text): return frozenset(parse_labels(text)) if text else frozenset()
        def table(label_sets, source): return keys.assign(Label=pd.Series(label_sets, dtype=object), source=source)
        truth = [of_cell(texts[i][c - 1]) for i, c in keys.itertuples(index=False)]
        self.image_labels, self.true_labels = table([image[i] for i in keys.ID], 'image'), table(truth, 'true')
        self.truth = labels_to_targets(truth)


# Learning
class Run:
    "The networks of one seed; each is trained once."
    def __init__(self, args, seed):
        self.args, self.seed, self.folder, self.kept, self.cpu = args, seed, Path(args.folder)/f's{seed}', {}, 0
        parts = ('train', args.fields, args.least), ('test', args.test_fields, args.least + 2)
        self.train, self.test = (Cells(self.folder/part, label_sets(n, least, 10*seed + k), args, 10*seed + k)
                                 for k, (part, n, least) in enumerate(parts))

    def learn(self, name, cell_labels, epochs, start=None, **options):
        "Train a network, or find it; the number of crops seen does not depend on the number of cells."
        epochs, args = max(1, round(epochs*len(self.train.store)/len(cell_labels))), self.args
        settings = dict(arch=args.arch, batch_size=args.batch, hidden=args.hidden, dropout=args.dropout, seed=self.seed,
                        device=args.device, lr=args.lr*(0.5 if start else 1), start=start and self.model(start))
        began = process_time()
        train_network(self.train.store, cell_labels, self.model(name), epochs=epochs, progress=False,
                      **settings | options)
        self.cpu += process_time() - began
        return name

    def model(self, name): return self.folder/'models'/name

    def predict(self, name, part='test', tta=False):
        "Predictions for all cells of a part, kept in memory."
        key = name, part, tta
        if key not in self.kept:
            began, store = process_time(), getattr(self, part).store
            self.kept[key] = predict_cells(self.model(name), store, tta=tta, batch_size=256, device=self.args.device,
                                           progress=False)
            self.cpu += process_time() - began
        return self.kept[key]

    def soft(self, name, **options):
        "Soft targets for every cell, from predictions without the effect of focal loss and from image labels."
        return pseudo_labels(undo_focal(self.predict(name, 'train')), self.train.labels, shown=usual_shares(),
                             soft=True, single=True, **options)

    def features(self, name, part):
        "Embeddings of all cells of a part."
        return embeddings(self.model(name), getattr(self, part).store, batch_size=256, device=self.args.device,
                          progress=False)

    def score(self, predictions): return class_average_precision(predictions[probability_columns], self.test.truth)


class Heads(Run):
    "A run whose networks are heads on the same body."
    def __init__(self, args, seed):
        super().__init__(args, seed)
        Run.learn(self, 'body', self.train.image_labels, args.epochs)
        began, self.body, self.heads = process_time(), load_network(self.model('body')), {}
        def views(part, ways): return torch.stack([torch.from_numpy(self.view(part, way)) for way in ways])
        self.views = dict(train=views('train', (0, 3, 6)), test=views('test', (0, 3, 5, 6)))
        self.cpu += process_time() - began

    def view(self, part, way):
        "Embeddings of all cells, rotated or mirrored one way: (N, D) float32."
        store, dtype = getattr(self, part).store, pick_precision('auto', torch.device('cpu'))
        found = []
        with torch.inference_mode(), torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
            for at in range(0, len(store), 256):
                crops = torch.from_numpy(store.read(range(at, min(at + 256, len(store)))))
                crops = turn_and_flip(crops, torch.tensor([way])).contiguous(memory_format=torch.channels_last)
                found.append(self.body.features(crops).float())
        return torch.cat(found).numpy()

    def learn(self, name, cell_labels, epochs, start=None, balance=None, member=0):
        began, x, rng = process_time(), self.views['train'], np.random.default_rng([self.seed, member])
        torch.manual_seed(1000*self.seed + member)
        rows, n = find_cells(self.train.store.cells, cell_labels), len(cell_labels)
        targets, weights = torch.from_numpy(cell_targets(cell_labels)), torch.from_numpy(cell_weights(cell_labels))
        head, steps = CellHead(x.shape[2], n_classes, self.args.hidden, 0.3).train(), 12*len(self.train.store)//256
        optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
        chosen = balance_rows(list(cell_labels.Label), rule=balance, seed=self.seed) if balance else np.arange(n)
        order = np.concatenate([rng.permutation(chosen) for _ in range(-(-256*steps//len(chosen)))])
        for at in order[:256*steps].reshape(steps, 256):
            logits = head(x[torch.from_numpy(rng.integers(len(x), size=256)), rows[at]])
            loss = focal_loss(logits, targets[at], weights[at])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        self.heads[name] = head.eval()
        self.cpu += process_time() - began
        return name

    def predict(self, name, part='test', tta=False):
        views = self.views[part] if tta or part == 'train' else self.views[part][:1]
        with torch.inference_mode(): p = torch.stack([self.heads[name](v).sigmoid() for v in views]).mean(0)
        table = getattr(self, part).store.table(['ID', 'cell', 'cut'])
        return pd.concat([table, pd.DataFrame(p.numpy(), columns=probability_columns)], axis=1)

    def features(self, name, part): return self.views[part][0].numpy()


def networks(run):
    "Train every network, each after the one that it starts from, and yield (row, model)."
    train, more, first = run.train, run.args.more, run.args.epochs
    single = single_label_cells(train.store.table(['ID', 'cell']), train.labels)
    def with_pseudo(p, **options):
        found = pseudo_labels(p, train.labels, trained_ids=single.ID.unique(), **options)
        return join_cell_labels(single, found)
    run.learn('a0', train.image_labels, first)
    yield '(a) image labels copied to every cell', run.learn('a', train.image_labels, more, 'a0')
    run.learn('b0', single, first)
    yield '(b) single-label cells only', run.learn('b', single, more, 'b0')
    p = run.predict('b0', 'train')
    yield '(c) + pseudo-labels of (b), p > 0.5', run.learn('c-half', with_pseudo(p), more, 'b0')
    p, shown = undo_focal(p), usual_shares()
    yield '(c) + pseudo-labels of (b), shown=0.7', run.learn('c-hard', with_pseudo(p, shown=shown), more, 'b0')
    soft = with_pseudo(p, shown=shown, soft=True)
    yield '(c) + soft pseudo-labels of (b), shown=0.7', run.learn('c-soft', soft, more, 'b0')
    for start in 'ba':
        model = f'{start}0'
        for n in range(1, 5):
            model = run.learn(f'd-{start}{n}', run.soft(model), more, model)
            yield f'(d) soft targets for all cells, round {n} from ({start})', model
    soft = run.soft('d-b1')
    weighted = weigh_cells(soft, train.store.cells, cut=0.5, dim=0.02)
    yield '(d) round 2 from (b), cut and dim cells count less', run.learn('d-weights', weighted, more, 'd-b1')
    balanced = run.learn('d-balance', soft, more, 'd-b1', balance='sqrt')
    yield '(d) round 2 from (b), classes balanced (sqrt)', balanced
    model = run.learn('e0', train.true_labels, first)
    for n in range(1, 5): model = run.learn(f'e{n}', train.true_labels, more, model)
    yield '(e) true cell labels, as long as round 2', 'e2'
    yield '(e) true cell labels, as long as round 4', 'e4'


def after_training(run, model):
    "Apply the steps after training, one after another, and yield (row, predictions)."
    yield 'the network alone', run.predict(model)
    p = run.predict(model, tta=True)
    yield 'and the mean of several views', p
    without = 'image x cell, image = mean of its cells, without undo_focal'
    yield without, fuse_image(p, image_scores(p, 'mean'), 0.7)
    p = undo_focal(p)
    for how in ('noisy-or', 'max', 'mean'):
        yield f'image x cell, image = {how} of its cells', fuse_image(p, image_scores(p, how), 0.7)
    pool = train_attention(run.features(model, 'train'), run.train.store.cells.ID, run.train.labels, seed=run.seed)
    images, _ = attention_scores(pool, run.features(model, 'test'), run.test.store.cells.ID)
    yield 'image x cell, image = attention pooling', fuse_image(p, images, 0.7)
    fused = fuse_image(p, mean_scores(images, image_scores(p, 'mean')), 0.7)
    yield 'image x cell, image = mean and attention', fused
    yield '  + class 18 from the others (product)', negative_from_others(fused, 'product')
    yield '  + cut cells lower', lower_cut(fused, 0.3, 1, 0.5)


def mean_scores(*tables):
    "The geometric mean of predictions tables with the same rows."
    return tables[0].assign(**{c: np.prod([t[c] for t in tables], 0)**(1/len(tables)) for c in probability_columns})


def calibration(run, model):
    "Yield the log loss on half of the test images, before and after a calibration fitted on the other half."
    p, truth = run.predict(model), run.test.truth
    half = p.ID.astype(int).to_numpy() % 2 == 0
    def loss(p):
        q = p[probability_columns].to_numpy().clip(1e-6, 1 - 1e-6)
        return float(-(truth*np.log(q) + (1 - truth)*np.log(1 - q))[~half].mean())
    yield 'the network alone', loss(p)
    p = undo_focal(p)
    yield 'undo_focal', loss(p)
    yield 'undo_focal and a line for each class', loss(calibrate(p, fit_calibration(p[half], truth[half])))


def ensemble(run, soft, start):
    "Predictions of four networks that differ by their seed; only for heads, where training is cheap."
    return [run.predict(run.learn(f'd-b4-{k}', soft, run.args.more, start, member=k), tta=True) for k in range(4)]


def fused_score(run, p):
    "Average precision of each class, for image x cell with the mean of the cells."
    p = undo_focal(p)
    return run.score(fuse_image(p, image_scores(p, 'mean'), 0.7))


best = 'image x cell, image = mean of its cells'


def measurements(run):
    "Yield (kind, row, values) of one seed."
    for name, model in networks(run): yield 'network', name, run.score(run.predict(model))
    for model in ('d-b4', 'e4'):
        for name, p in after_training(run, model): yield f'after ({model[0]})', name, run.score(p)
    for name, model in dict(a='a', b='b', c='c-soft').items():
        yield 'fused', f'({name}) several views, image x cell', fused_score(run, run.predict(model, tta=True))
    for name, value in calibration(run, 'd-b4'): yield 'log loss', name, [value]
    if run.args.heads:
        four = mean_scores(*ensemble(run, run.soft('d-b3'), 'd-b3'))
        yield 'after (d)', f'four networks, {best}', fused_score(run, four)


def simulated(args):
    "Add missing rows to the journal of results, and return the report."
    names = ('arch', 'fields', 'test_fields', 'least', 'field_size', 'crop', 'size', 'epochs', 'more', 'batch', 'lr',
             'hidden', 'dropout', 'heads')
    journal, settings = Journal(Path(args.folder)/'results.jsonl'), {k: getattr(args, k) for k in names}
    def read(): return [r for r in journal.read() if r['settings'] == settings]
    for seed in range(args.seed, args.seed + args.seeds):
        done = {r['row'] for r in read() if r['seed'] == seed}
        if 'finished' in done or args.table: continue
        run = (Heads if args.heads else Run)(args, seed)
        def note(row, ap=()):
            macro = float(np.mean(ap)) if len(ap) else 0
            journal.append(dict(settings=settings, seed=seed, row=row, macro=macro, ap=np.round(ap, 4).tolist(),
                                cpu=round(run.cpu)))
            print(f'seed {seed}, {row}: {macro:.4f} ({run.cpu:.0f} s)', flush=True)
        for kind, name, ap in measurements(run):
            if f'{kind}: {name}' not in done: note(f'{kind}: {name}', ap)
        note('finished')
    return report([r for r in read() if r['row'] != 'finished'], args, settings)


def block(rows, kind, ceilings):
    "Markdown table of one kind of rows: mean and spread over seeds, and the share of each ceiling."
    text = '| | macro AP | sd | from..to | of (e) | of (e) with image x cell | seeds |\n|---|---|---|---|---|---|---|\n'
    for name, values in rows[rows.kind == kind].set_index('seed').groupby('name', sort=False).macro:
        share = ' | '.join(f'{(values/e.reindex(values.index)).mean():.1%}' for e in ceilings)
        text += (f'| {name} | {values.mean():.3f} | {values.std(ddof=len(values) > 1):.3f} '
                 f'| {values.min():.3f}..{values.max():.3f} | {share} | {len(values)} |\n')
    return text


def by_class(rows):
    "Markdown table of the average precision of each class."
    shown = {'(a)': ('network', '(a) image labels copied to every cell'),
             '(b)': ('network', '(b) single-label cells only'),
             '(c)': ('network', '(c) + soft pseudo-labels of (b), shown=0.7'),
             '(d)': ('after (d)', 'the network alone'), '(d) image x cell': ('after (d)', best),
             '(e)': ('after (e)', 'the network alone'), '(e) image x cell': ('after (e)', best)}
    found = {k: rows[(rows.kind == kind) & (rows.name == name)].ap for k, (kind, name) in shown.items()}
    table = pd.DataFrame({k: np.mean(list(v), 0) for k, v in found.items() if len(v)})
    text = '| class | ' + ' | '.join(table) + ' |\n' + '|---'*(1 + table.shape[1]) + '|\n'
    for c, values in table.iterrows():
        text += f'| {class_names[c]} {c} | ' + ' | '.join(f'{v:.2f}' for v in values) + ' |\n'
    return text


def report(rows, args, settings):
    "The whole report in Markdown."
    rows = pd.DataFrame(rows)
    if not len(rows): return 'no results yet\n'
    rows = rows.drop_duplicates(['seed', 'row'], keep='last')
    rows[['kind', 'name']] = rows.row.str.split(': ', n=1, expand=True)
    def of(kind, name): return rows[(rows.kind == kind) & (rows.name == name)].set_index('seed').macro
    ceilings = of('network', '(e) true cell labels, as long as round 4'), of('after (e)', best)
    what = 'heads on the body of (a)' if args.heads else 'networks'
    text = (f'{machine(torch, timm)}; {settings}\n\n### Learning: {what}\n\nMacro average precision of true cell '
            f'labels, cells of unseen images.\n\n{block(rows, "network", ceilings)}')
    for kind, title in (('after (d)', '(d), round 4 from (b)'), ('after (e)', '(e), true cell labels'),
                        ('fused', '(a), (b), (c)')):
        text += f'\n### After training: {title}\n\n{block(rows, kind, ceilings)}'
    text += '\n### Calibration of (d): mean log loss of test images\n\n| | log loss |\n|---|---|\n'
    for name, values in rows[rows.kind == 'log loss'].groupby('name', sort=False).macro:
        text += f'| {name} | {values.mean():.4f} |\n'
    seconds = rows.groupby('seed').cpu.max().mean()
    text += f'\n### By class\n\n{by_class(rows)}\nCPU time of a seed: {seconds:.0f} s of one core'
    return text + ', without simulation.\n'


# Real images
class Segmented:
    "Images that are segmented when read; their label maps go to a folder."
    def __init__(self, fields, masks): self.fields, self.masks, self.segment = fields, masks, get_segmenter('plain')
    def read(self, ID):
        field, path = self.fields.read(ID), self.masks/f'{ID}.png'
        if not path.exists(): write_label_map(path, self.segment(field)[0])
        return field


def real_store(source, folder, args):
    "All cells of a folder of images, in memory."
    fields, masks = open_fields(source), folder/'masks'
    masks.mkdir(parents=True, exist_ok=True)
    for number, ids in plan_shards(folder/'cells', fields.ids):
        crop_shard(Segmented(fields, masks), masks, folder/'cells', number, ids, size=args.crop, nuclei=False)
    merge_index(folder/'cells')
    return MemoryStore(open_store(folder/'cells'), args.size)


def image_ap(p, truth):
    "Macro (classes with an image) and micro average precision of images."
    micro = class_average_precision(np.ravel(p)[:, None], np.ravel(truth)[:, None])[0]
    return float(np.nanmean(class_average_precision(p, truth))), float(micro)


def fold_predictions(args, seed, folds, labels, cells, store, folder, name, start):
    "Predictions of all cells, each by the network trained without the fold of its image."
    tables = []
    for k in range(5):
        unseen = cells.ID.isin(set(labels.ID[folds == k]))
        model = folder/f'{name.replace(" ", "-")}-{args.real_epochs}-{seed}-{k}'
        train_network(store, cells[~unseen], model, arch=args.arch, epochs=args.real_epochs, batch_size=args.batch,
                      lr=args.real_lr or args.lr*(0.5 if start else 1), hidden=args.hidden,
                      dropout=None if start else args.dropout, body_rate=args.body_rate if start else 1, seed=seed,
                      device=args.device, start=start, rotate=True, scale=0.2, brightness=0.2, progress=False)
        tables.append(predict_cells(model, store, np.flatnonzero(unseen), batch_size=256, device=args.device,
                                    progress=False))
    return undo_focal(pd.concat(tables, ignore_index=True))


def in_order(p, order, how='mean'):
    "Return the scores of images (N, 19) in the order of their IDs."
    return image_scores(p, how).set_index('ID').loc[order, probability_columns].to_numpy()


def with_start(start, p, store, order, args):
    "Return the scores of the start without training, and of the mean of its predictions and those after training."
    alone = predict_cells(start, store, batch_size=256, device=args.device, progress=False)
    both = p.merge(alone, on=['ID', 'cell'], suffixes=('', '_alone'), validate='one_to_one')
    both[probability_columns] = (both[probability_columns].to_numpy()
                                 + both[[f'{c}_alone' for c in probability_columns]].to_numpy())/2
    return {'start, no training, mean of the cells': in_order(alone, order),
            'mean of start and trained, mean of the cells': in_order(both, order)}


def real(args):
    "Measure image labels on real images by 5-fold cross-validation, and return the report."
    source, folder = Path(args.real)/'fields512', Path(args.folder)/f'real-{args.crop}'
    store, labels = real_store(source/'train', folder, args), read_labels(source/'train.csv')
    labels = labels[labels.ID.isin(store.cells.ID)].reset_index(drop=True)
    sets, truth = dict(zip(labels.ID, labels.Label)), labels_to_targets(labels.Label.tolist())
    cells = store.table(['ID', 'cell'])
    cells = cells.assign(Label=pd.Series([sets[i] for i in cells.ID], dtype=object), source='image')
    starts = {} if args.only_start else {'from scratch': None}
    if args.start: starts['from simulated cells'] = Path(args.start)
    rows = []
    for seed in range(args.seed, args.seed + args.seeds):
        folds = make_folds(labels.Label, seed=seed)
        order = np.concatenate([np.flatnonzero(folds == k) for k in range(5)])
        frequency = [np.tile(truth[folds != k].mean(0), ((folds == k).sum(), 1)) for k in range(5)]
        scores = {'frequency of the classes': np.concatenate(frequency)}
        for name, start in starts.items():
            p = fold_predictions(args, seed, folds, labels, cells, store, folder, name, start)
            for how in ('mean', 'max', 'noisy-or'):
                scores[f'{name}, {how} of the cells'] = in_order(p, labels.ID[order], how)
            if start: scores |= with_start(start, p, store, labels.ID[order], args)
        rows += [dict(seed=seed, name=name, macro=m, micro=n)
                 for name, p in scores.items() for m, n in [image_ap(p, truth[order])]]
    table = pd.DataFrame(rows).groupby('name', sort=False)[['macro', 'micro']].agg(['mean', 'std']).fillna(0)
    text = (f'{machine(torch, timm)}; {args.arch}, {args.size} px, {args.real_epochs} epochs, {len(labels)} images, '
            f'{len(store)} cells, {args.seeds} seeds\n\n### Real images: average precision of image labels, 5-fold by '
            'image\n\n| | macro AP | sd | micro AP | sd |\n|---|---|---|---|---|\n')
    values = (' | '.join(f'{v:.3f}' for v in row) for row in table.to_numpy())
    return text + ''.join(f'| {name} | {row} |\n' for name, row in zip(table.index, values))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--seeds', type=int, default=3, help='number of seeds')
    add('--seed', type=int, default=0, help='first seed')
    add('--fields', type=int, default=520, help='training images')
    add('--test-fields', type=int, default=240, help='test images')
    add('--least', type=int, default=8, help='minimum training images per class; the test has two more')
    add('--field-size', type=int, default=320, help='side of the images, px')
    add('--crop', type=int, default=None, help='side of the stored crops, px; default: --size')
    add('--size', type=int, default=48, help='side of the crops that the network gets, px')
    add('--arch', default='test_resnet', help='timm backbone')
    add('--epochs', type=float, default=5, help='epochs of the first training')
    add('--more', type=float, default=3, help='epochs of each further training')
    add('--batch', type=int, default=32, help='cells per batch')
    add('--lr', type=float, default=7e-3, help='largest learning rate')
    add('--hidden', type=int, default=256, help='features in the head')
    add('--dropout', type=float, default=0.2, help='dropout in the head, 0..1')
    add('--device', default='auto', help='auto, cpu, cuda ...')
    add('--threads', type=int, default=1, help='CPU threads')
    add('--folder', default=f'{gettempdir()}/hpa_cells-learning', help='folder of results, to resume')
    add('--out', default=None, help='file for the report')
    add('--heads', action='store_true', help='train heads on one body per seed, not networks')
    add('--quick', action='store_true', help='two minutes: one seed, few images, one epoch')
    add('--table', action='store_true', help='only report finished results')
    add('--real', default=None, help='folder with fields512/: use real images')
    add('--start', default=None, help='with --real: folder of a model from simulated cells, to start from as well')
    add('--real-epochs', type=int, default=12, help='epochs with --real')
    add('--real-lr', type=float, default=None,
        help='with --real: largest learning rate; default: --lr, half after a start')
    add('--body-rate', type=float, default=1, help='with --start: learning rate of the body relative to the head')
    add('--only-start', action='store_true', help='with --start: no training from scratch')
    args = parser.parse_args()
    if args.quick:
        args.seeds, args.fields, args.test_fields, args.least, args.epochs, args.more = 1, 60, 30, 3, 1, 1
        args.folder += '-quick'
    args.crop = args.crop or args.size
    torch.set_num_threads(args.threads)
    warnings.simplefilter('ignore')
    text = real(args) if args.real else simulated(args)
    if args.out:
        with atomic_path(args.out) as p: Path(p).write_text(text)
    print(text)


if __name__ == '__main__': main()
