"""Train the model in the box on simulated cells alone: `python benchmarks/box.py [--fields 3000] [--steps 6000]`

Every image has its own settings of the simulator, and during training its cells get stains, grain and cuts at random,
so that real images are one more kind among many. The true label of every cell is known. The command resumes where it
was interrupted; a model depends on the seed and on the settings below alone.
It ends with a table: average precision by class on simulated images that were not used for training, and on the real
images of `--real`, from image labels. `--save FOLDER` also writes the model and its card there.
"""
import argparse
import json
import os
from pathlib import Path
from time import process_time

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')     # before torch: spinning threads are slow on a busy machine
import cv2
import numpy as np
import torch
from common import machine
from torch.nn import functional as F

from hpa_cells.augment import add_noise, blur_channels, change_brightness, change_gamma, rotate_and_scale, spread
from hpa_cells.classes import MITOTIC, NEGATIVE, class_names, labels_to_targets, n_classes, read_labels
from hpa_cells.crop import crop_cells, measure_cells
from hpa_cells.fields import open_fields
from hpa_cells.files import atomic_path
from hpa_cells.labelmaps import match_cells
from hpa_cells.loss import focal_loss
from hpa_cells.models import save_network
from hpa_cells.network import CellNet
from hpa_cells.predict import _mean_probability, _ways
from hpa_cells.recorder import class_average_precision
from hpa_cells.segment import get_segmenter
from hpa_cells.shapes import draw_label_sets
from hpa_cells.simulate import simulate_field

fields_per_chunk, stored_size, data_seed = 100, 96, 17


# Cells
def random_field(k):
    "Return simulated image k and its random generator; half of the images have a class drawn with equal chances."
    rng = np.random.default_rng([data_seed, k])
    labels = draw_label_sets(1, [data_seed, k])[0]
    if rng.random() < 0.5:
        c = int(rng.integers(n_classes))
        labels = {c} if c == NEGATIVE or rng.random() < 0.5 else {c, int(rng.choice(NEGATIVE, 1)[0])}
    if NEGATIVE in labels: labels = {NEGATIVE}
    return rng, simulate_field(
        int(rng.integers(440, 680)), labels=labels, seed=[data_seed, k], unseen=float(rng.uniform(0, 0.4)),
        signal=float(np.exp(rng.normal(0, 0.5))), brightness=float(np.exp(rng.normal(-0.2, 0.5))),
        unevenness=float(rng.uniform(0, 0.5)), noise=float(np.exp(rng.normal(0, 0.6))),
        crowding=float(rng.uniform(0, 1)), n_cells=int(rng.integers(6, 30)),
        mitotic=0.25 if MITOTIC in labels else 0.02)


def cells_of_field(k, segment):
    "Return crops (n, 4, 96, 96) uint8 and targets (n, 19) of image k; most cells are found by the segmenter."
    rng, made = random_field(k)
    cells, of_cell = made.cells, dict(enumerate(made.labels, 1))
    if rng.random() < 0.6:
        cells, _ = segment(made.field)
        pairs = match_cells(made.cells, cells) if cells.max() else None
        of_cell = {} if pairs is None else {
            int(p): made.labels[int(t) - 1] for t, p, iou in pairs.itertuples(index=False) if iou >= 0.5}
    table = measure_cells(made.field, cells)
    table = table[(table.cut <= 0.5) & table.cell.isin(of_cell)]
    crops = crop_cells(made.field, cells, table, size=stored_size)
    return crops, labels_to_targets([of_cell[c] for c in table.cell.tolist()])


def make_cells(folder, n_fields):
    "Write the cells of simulated images in chunks of 100 images."
    segment = get_segmenter('plain')
    for chunk in range(-(-n_fields//fields_per_chunk)):
        crops_path, targets_path = folder/f'crops-{chunk:04}.npy', folder/f'targets-{chunk:04}.npy'
        if crops_path.exists(): continue
        first = chunk*fields_per_chunk
        crops, targets = zip(*(cells_of_field(k, segment) for k in range(first, first + fields_per_chunk)))
        np.save(targets_path, np.concatenate(targets).astype(np.uint8))
        with atomic_path(crops_path) as path, open(path, 'wb') as file: np.save(file, np.concatenate(crops))
        print(f'images {first} to {first + fields_per_chunk - 1}: {sum(map(len, crops))} cells', flush=True)


class Cells:
    "The cells of some chunks; crops stay on disk."
    def __init__(self, folder, chunks):
        self.crops = [np.load(folder/f'crops-{c:04}.npy', mmap_mode='r') for c in chunks]
        self.targets = np.concatenate([np.load(folder/f'targets-{c:04}.npy') for c in chunks]).astype(np.float32)
        self.starts = np.cumsum([0, *map(len, self.crops)])

    def read(self, rows):
        "Return the crops of rows as a tensor (N, 4, 96, 96) uint8."
        parts = np.searchsorted(self.starts, rows, side='right') - 1
        return torch.from_numpy(np.stack([self.crops[p][r - self.starts[p]] for p, r in zip(parts, rows)]))

    def chances(self):
        "Return the chance of each cell to be drawn: more for rare classes, by the square root of their frequency."
        share = self.targets.mean(0).clip(1e-4)
        chances = np.where(self.targets.any(1), (self.targets/share**0.5).max(1), 1)    # 1: a cell that shows no label
        return chances/chances.sum()


# Training
def coin(n, chance, channels=1): return (torch.rand(n, channels, 1, 1) < chance).float()


def cloud(n, size):
    "Return smooth random patterns (n, 1, size, size) of several scales, with a standard deviation of about 1."
    parts = [weight*F.interpolate(torch.randn(n, 1, size//cut, size//cut), size=(size, size), mode='bilinear')
             for cut, weight in ((2, 0.9), (4, 0.9), (10, 0.75))]
    return sum(parts)


def stain(crops, inside):
    "Add what real stains show besides the labels: grain, an even haze, and a share of the other channels in green."
    n, size = len(crops), crops.shape[-1]
    red, green, blue, yellow = crops.split(1, 1)
    grain = torch.exp(cloud(n, size)*torch.rand(n, 1, 1, 1)*0.8)
    nucleus = blue/blue.amax((2, 3), keepdim=True).clamp(min=13)
    haze = coin(n, 0.6)*torch.rand(n, 1, 1, 1)**2*41*(1 + nucleus*(torch.rand(n, 1, 1, 1)*1.5 - 0.7))
    share = torch.rand(n, 3, 1, 1)**2*coin(n, 0.35, 3)*0.25
    leak = (torch.cat([red, blue, yellow], 1)*share).sum(1, keepdim=True)
    green = green*torch.exp(coin(n, 0.5)*cloud(n, size)*torch.rand(n, 1, 1, 1)*0.35) + haze*grain + leak
    red = red*torch.exp(coin(n, 0.5)*cloud(n, size)*0.3) + coin(n, 0.4)*torch.rand(n, 1, 1, 1)*31*grain.flip(2)
    blue = blue*torch.exp(coin(n, 0.5)*cloud(n, size)*0.25)
    return torch.cat([red, green, blue, yellow], 1)*inside


def vary(crops, size):
    "Return crops (N, 4, size, size) float32 in 0..255 as another microscope might have seen them."
    n = len(crops)
    crops = F.interpolate(crops.float(), size=(size, size), mode='area')
    crops = rotate_and_scale(crops, torch.rand(n)*2*torch.pi, spread(torch.rand(n), 0.25))
    crops = torch.where(torch.rand(n, 1, 1, 1) < 0.5, crops.flip(3), crops)
    inside = (crops >= 0.5).any(1, keepdim=True).float()
    crops = stain(crops, inside).clamp(0, 255)
    crops = blur_channels(crops, torch.rand(n, 4)*coin(n, 0.4, 4)[:, :, 0, 0]*1.2, 1.2)
    crops = change_brightness(change_gamma(crops, torch.exp(0.25*torch.randn(n, 4))), torch.exp(0.35*torch.randn(n, 4)))
    black = torch.rand(n, 4, 1, 1)*10*coin(n, 0.5, 4)
    crops = add_noise(crops, black + torch.randn_like(crops)*torch.rand(n, 1, 1, 1)**2*15)*inside
    edge = coin(n, 0.2)*torch.rand(n, 1, 1, 1)*0.5                  # a part beyond the border of the image
    return crops*(torch.linspace(0, 1, size) >= edge)


def follow(mean, net, step):
    "Move the mean of the weights towards the weights."
    decay = min(0.998, step/(step + 10))
    with torch.no_grad():
        for kept, new in zip(mean.state_dict().values(), net.state_dict().values()):
            if kept.dtype.is_floating_point: kept.lerp_(new, 1 - decay)
            else: kept.copy_(new)


def new_net(args):
    net = CellNet(args.arch, hidden=256, dropout=0.3, input_size=args.size)
    return net.to(memory_format=torch.channels_last)


def train(cells, args, seed, path):
    "Return the mean of a network's weights over its training; the state goes to `path` every 500 steps."
    torch.manual_seed(seed)
    net, mean, chances, first = new_net(args), new_net(args), cells.chances(), 0
    mean.load_state_dict(net.state_dict())
    groups = [[p for p in net.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False)]
    optimizer = torch.optim.AdamW([dict(params=groups[0], weight_decay=0.02), dict(params=groups[1], weight_decay=0)])
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.steps, pct_start=0.1)
    parts = dict(net=net, mean=mean, optimizer=optimizer, rate=rate)
    if path.exists():
        state = torch.load(path, weights_only=True)
        first = state.pop('step')
        for name, part in parts.items(): part.load_state_dict(state[name])
    total, began = 0, process_time()
    for step in range(first, args.steps):
        torch.manual_seed(seed*1_000_000 + step)
        rows = np.random.default_rng([seed, step]).choice(len(chances), args.batch, p=chances)
        crops = vary(cells.read(rows), args.size).contiguous(memory_format=torch.channels_last)
        loss = focal_loss(net.train()(crops), torch.from_numpy(cells.targets[rows]), gamma=1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1)
        optimizer.step()
        rate.step()
        follow(mean, net, step + 1)
        total += loss.item()
        if (step + 1) % 500 and step + 1 < args.steps: continue
        with atomic_path(path) as p: torch.save({n: v.state_dict() for n, v in parts.items()} | dict(step=step + 1), p)
        print(f'seed {seed}, step {step + 1}: loss {total/(step % 500 + 1):.3f}, '
              f'{process_time() - began:.0f} s of a core', flush=True)
        total = 0
    return mean.eval()


def frequencies(): return labels_to_targets(draw_label_sets(20_000, 1)).mean(0).clip(1e-3)


def shift_to_atlas(net, cells):
    "Shift the logits half of the way from the class frequencies in training to those of the atlas."
    drawn = cells.chances() @ cells.targets
    atlas = frequencies()
    shift = 0.5*(np.log(atlas/(1 - atlas)) - np.log(drawn/(1 - drawn)))
    with torch.no_grad(): net.head.logit.bias += torch.from_numpy(shift).float()


# Judging
@torch.inference_mode()
def predict(net, crops):
    "Return probabilities (N, 19), the mean over eight flips and turns."
    return torch.cat([_mean_probability([net], part, _ways[True]) for part in crops.split(128)]).numpy()


def precision(truth, p):
    "Return average precision by class (nan without positives), and of all classes together."
    return class_average_precision(p, truth), class_average_precision(np.ravel(p)[:, None], np.ravel(truth)[:, None])[0]


def read_real(folder, size):
    "Return the crops of real images, the position of their image, and the image labels (N, 19)."
    labels, segment, fields = read_labels(folder/'train.csv'), get_segmenter('plain'), open_fields(folder/'train')
    crops = []
    for ID in labels.ID:
        field = fields.read(ID)
        cells, _ = segment(field)
        crops.append(crop_cells(field, cells, measure_cells(field, cells), size=size))
    at = np.repeat(np.arange(len(crops)), [len(c) for c in crops])
    return torch.from_numpy(np.concatenate(crops)).float(), at, labels_to_targets(labels.Label.tolist())


def judge(net, args, kept):
    "Return by-class and joint average precision on simulated cells, and on real images if there are any."
    small = F.interpolate(kept.read(np.arange(len(kept.targets))).float(), size=(args.size,)*2, mode='area')
    found = dict(simulated=precision(kept.targets, predict(net, small)))
    if (args.real/'train.csv').exists():
        crops, at, truth = read_real(args.real, args.size)
        p = predict(net, crops)
        means = np.stack([p[at == i].mean(0) if (at == i).any() else np.zeros(n_classes) for i in range(len(truth))])
        found['real'] = precision(truth, means)
    else: print(f'{args.real} is absent: not judged on real images')
    return found


def print_table(results):
    "Print mean and spread over seeds, by class and together; the macro mean is over classes that occur."
    for part in results[0]:
        by_class, micro = (np.array([r[part][i] for r in results]) for i in (0, 1))
        macro = np.nanmean(by_class, 1)
        print(f'\n{part}: macro {macro.mean():.3f} ± {macro.std():.3f}, micro {micro.mean():.3f} ± {micro.std():.3f}')
        for name, values in zip(class_names, by_class.T):
            if not np.isnan(values).all(): print(f'  {name:32} {values.mean():.2f}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--folder', type=Path, default=Path('box'), help="for crops and unfinished training")
    parser.add_argument('--fields', type=int, default=3000, help="simulated images for training; 200 more to judge")
    parser.add_argument('--arch', default='test_resnet')
    parser.add_argument('--size', type=int, default=64, help="side of a crop, px")
    parser.add_argument('--steps', type=int, default=6000)
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--lr', type=float, default=3e-3)
    parser.add_argument('--seeds', type=int, default=1)
    parser.add_argument('--real', type=Path, default=Path('../shared/data/fields512'))
    parser.add_argument('--save', type=Path, help="write the model of seed 0 to this folder")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    cells = args.folder/'cells'
    cells.mkdir(parents=True, exist_ok=True)
    make_cells(cells, args.fields + 200)
    n, results = -(-args.fields//fields_per_chunk), []
    data, kept = Cells(cells, range(2, n + 2)), Cells(cells, range(2))
    print(f'{machine(torch)}\n{len(data.targets)} cells to train on, {len(kept.targets)} to judge', flush=True)
    for seed in range(args.seeds):
        net = train(data, args, seed, args.folder/f'seed-{seed}.pt')
        shift_to_atlas(net, data)
        results.append(judge(net, args, kept))
        if args.save and seed == 0:
            save_network(net, args.save, made=f'benchmarks/box.py, {args.fields} images, {args.steps} steps',
                         cells=len(data.targets), settings=dict(crop_size=args.size))
    print_table(results)
    numbers = [{part: [by_class.tolist(), micro] for part, (by_class, micro) in r.items()} for r in results]
    (args.folder/'results.json').write_text(json.dumps(numbers))


if __name__ == '__main__': main()
