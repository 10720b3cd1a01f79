"""Time of training and prediction per cell, compared with a plain loop.

Usage: `python benchmarks/train.py [--arch densenet121] [--device cuda] [--threads 1]`
"""
import os
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')   # before torch: threads that wait actively slow each other down
import argparse
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import fastai
import numpy as np
import torch
from common import machine

from hpa_cells.predict import predict_cells
from hpa_cells.loss import focal_loss
from hpa_cells.network import CellNet
from hpa_cells.labelmaps import write_label_map
from hpa_cells.shards import crop_shard, merge_index, plan_shards
from hpa_cells.store import open_store
from hpa_cells.batches import CellBatches, pick_device, pick_precision
from hpa_cells.train import train_network


class NoiseFields:
    "Images of noise, each with 25 square cells."
    side = 640
    def __init__(self, fields): self.ids = [f'field{i:04}' for i in range(fields)]
    def read(self, ID):
        rng = np.random.default_rng(self.ids.index(ID))
        return rng.integers(0, 256, (4, self.side, self.side), np.uint8)


def noise_store(folder, cells):
    "Crop at least as many cells of noise into a store."
    fields, masks = NoiseFields(-(-cells//25)), folder/'masks'
    masks.mkdir()
    label_map = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((128, 128), int)).astype(np.uint16)
    for ID in fields.ids: write_label_map(masks/f'{ID}.png', label_map)
    for number, ids in plan_shards(folder/'cells', fields.ids):
        crop_shard(fields, masks, folder/'cells', number, ids, nuclei=False)
    merge_index(folder/'cells')
    return open_store(folder/'cells')


def cost(function, device, repeats=3):
    "Return the shortest CPU time and wall time of several calls, in seconds."
    found = []
    for _ in range(repeats):
        cpu, wall = process_time(), perf_counter()
        function()
        if device.type == 'cuda': torch.cuda.synchronize(device)
        found.append((process_time() - cpu, perf_counter() - wall))
    return np.min(found, 0)


def plain_training(store, targets, arch, batch, device):
    "Return a loop as in a first tutorial: float32, channels first, cells read one by one."
    net = CellNet(arch).to(device).train()
    optimizer = torch.optim.Adam(net.parameters())
    def epoch(batches):
        for i in range(batches):
            rows = range(i*batch, i*batch + batch)
            crops = torch.stack([torch.from_numpy(store.read([row])[0]) for row in rows]).to(device)
            optimizer.zero_grad()
            focal_loss(net(crops), targets[i*batch:(i + 1)*batch].to(device)).backward()
            optimizer.step()
    return epoch


def our_training(store, cell_labels, arch, batch, device, folder):
    "Return the same loop as a call of `train_network`."
    def epoch(batches):
        train_network(store, cell_labels.head(batches*batch), folder/'model', arch=arch, epochs=1, batch_size=batch,
                      device=device, progress=False, redo=True)
    return epoch


def per_cell(epoch, batch, device, few=2, many=8):
    "Return seconds per cell without the set-up: the difference between a long and a short epoch."
    epoch(few)
    return (cost(lambda: epoch(many), device, 2) - cost(lambda: epoch(few), device, 2)) / (batch*(many - few))


def show(name, found, base):
    "Print a row of the table: times in milliseconds, and the speed-up over `base`."
    times = [1000*found[0], 1000*found[1], base[0]/found[0], base[1]/found[1]]
    print(f'| {name} | ' + ' | '.join(f'{t:.2f}' for t in times) + ' |', flush=True)


def compare_training(store, args, device, folder):
    "Print the rows of training, and of its batches alone."
    rng = np.random.default_rng(0)
    sets = [frozenset(rng.integers(0, 19, 2).tolist()) for _ in range(len(store))]
    labels = store.table(['ID', 'cell']).assign(Label=sets, source='noise')
    targets = torch.from_numpy(rng.random((len(store), 19)).astype(np.float32))
    plain = per_cell(plain_training(store, targets, args.arch, args.batch, device), args.batch, device)
    show('training, plain', plain, plain)
    ours = our_training(store, labels, args.arch, args.batch, device, folder)
    show('training, train_network', per_cell(ours, args.batch, device), plain)
    weights = np.ones(len(store), np.float32)
    loader = CellBatches(store, np.arange(len(store)), targets.numpy(), weights, args.batch, seed=0).to(device)
    show('batches alone, from the store', cost(lambda: [len(b[0]) for b in loader], device)/len(store), plain)


def compare_prediction(store, args, device):
    "Print the rows of prediction, with and without test-time augmentation."
    net, rows = CellNet(args.arch).to(device).eval(), np.arange(4*args.batch)
    def plain():
        with torch.no_grad():
            for row in range(0, len(rows), args.batch):
                crops = torch.from_numpy(store.read(rows[row:row + args.batch]))
                net(crops.to(device)).sigmoid().cpu()
    def ours(tta):
        predict_cells(net, store, rows, tta=tta, batch_size=args.batch, device=device, progress=False)
    plain()
    base = cost(plain, device)/len(rows)
    show('prediction, plain', base, base)
    ours(False)
    for tta in (False, 'turns', True):
        show(f'prediction, predict_cells, tta={tta}', cost(lambda: ours(tta), device, 2)/len(rows), base)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--arch', default='densenet121')
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--device', default='auto')
    # threads of bfloat16 convolutions wait for each other: on a shared machine only one thread gives true figures
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter('ignore')
    device = pick_device(args.device)
    with TemporaryDirectory() as folder:
        store = noise_store(Path(folder), 10*args.batch)
        print(f'{machine(torch, fastai)}, {torch.get_num_threads()} threads, {device}, '
              f'{pick_precision("auto", device)}; {args.arch}, 128 px, batches of {args.batch}\n')
        print('| | CPU, ms per cell | wall, ms per cell | times faster, by CPU | by wall |\n|---|---|---|---|---|')
        compare_training(store, args, device, Path(folder))
        compare_prediction(store, args, device)


if __name__ == '__main__': main()
