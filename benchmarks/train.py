"What learning and predicting cost a cell, beside the plain way: `python benchmarks/train.py [--arch densenet121] [--device cuda] [--threads 1]`"
import os
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')   # before torch: threads that spin while they wait slow each other down on a busy machine
import argparse
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import fastai
import numpy as np
import pandas as pd
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
    "Fields of noise with 25 square cells each."
    side = 640
    def __init__(self, fields): self.ids = [f'field{i:04}' for i in range(fields)]
    def read(self, ID): return np.random.default_rng(self.ids.index(ID)).integers(0, 256, (4, self.side, self.side), np.uint8)


def noise_store(folder, cells):
    fields, masks = NoiseFields(-(-cells//25)), folder/'masks'
    masks.mkdir()
    label_map = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((128, 128), int)).astype(np.uint16)
    for ID in fields.ids: write_label_map(masks/f'{ID}.png', label_map)
    for number, ids in plan_shards(folder/'cells', fields.ids): crop_shard(fields, masks, folder/'cells', number, ids, nuclei=False)
    merge_index(folder/'cells')
    return open_store(folder/'cells')


def cost(function, device, repeats=3):
    "Shortest CPU and wall time of several, seconds."
    found = []
    for _ in range(repeats):
        cpu, wall = process_time(), perf_counter()
        function()
        if device.type == 'cuda': torch.cuda.synchronize(device)
        found.append((process_time() - cpu, perf_counter() - wall))
    return np.min(found, 0)


def plain_training(store, targets, arch, batch, device):
    "A loop as in a first tutorial: float32, channels first, a cell at a time from the store."
    net = CellNet(arch).to(device).train()
    optimizer = torch.optim.Adam(net.parameters())
    def epoch(batches):
        for i in range(batches):
            crops = torch.stack([torch.from_numpy(store.read([row])[0]) for row in range(i*batch, i*batch + batch)]).to(device)
            optimizer.zero_grad()
            focal_loss(net(crops), targets[i*batch:(i + 1)*batch].to(device)).backward()
            optimizer.step()
    return epoch


def our_training(store, cell_labels, arch, batch, device, folder):
    def epoch(batches):
        train_network(store, cell_labels.head(batches*batch), folder/'model', arch=arch, epochs=1, batch_size=batch, device=device, progress=False, redo=True)
    return epoch


def per_cell(epoch, batch, device, few=2, many=8):
    "Seconds a cell, without what is done once: the difference of a long and a short epoch."
    epoch(few)
    return (cost(lambda: epoch(many), device, 2) - cost(lambda: epoch(few), device, 2)) / (batch*(many - few))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--arch', default='densenet121')
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--device', default='auto')
    # bfloat16 convolutions make their threads wait for each other: where other work takes the cores, only one thread gives true figures
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter('ignore')
    device = pick_device(args.device)
    with TemporaryDirectory() as d:
        store, rng = noise_store(Path(d), 10*args.batch), np.random.default_rng(0)
        labels = store.table(['ID', 'cell']).assign(Label=[frozenset(rng.integers(0, 19, 2).tolist()) for _ in range(len(store))], source='noise')
        targets = torch.from_numpy(rng.random((len(store), 19)).astype(np.float32))
        print(f'{machine(torch, fastai)}, {torch.get_num_threads()} threads, {device}, {pick_precision("auto", device)}; {args.arch}, 128 px, batches of {args.batch}\n')
        print('| | CPU, ms a cell | wall, ms a cell | times faster, by CPU | by wall |\n|---|---|---|---|---|')

        def show(name, found, base):
            print(f'| {name} | {1000*found[0]:.2f} | {1000*found[1]:.2f} | {base[0]/found[0]:.2f} | {base[1]/found[1]:.2f} |', flush=True)
        plain = per_cell(plain_training(store, targets, args.arch, args.batch, device), args.batch, device)
        show('training, plain', plain, plain)
        show('training, train_network', per_cell(our_training(store, labels, args.arch, args.batch, device, Path(d)), args.batch, device), plain)

        net, rows = CellNet(args.arch).to(device).eval(), np.arange(4*args.batch)
        def plain_inference():
            with torch.no_grad():
                for row in range(0, len(rows), args.batch): net(torch.from_numpy(store.read(rows[row:row + args.batch])).to(device)).sigmoid().cpu()
        def ours(tta): return lambda: predict_cells(net, store, rows, tta=tta, batch_size=args.batch, device=device, progress=False)
        plain_inference()
        base = cost(plain_inference, device)/len(rows)
        show('inference, plain', base, base)
        ours(False)()
        for tta in (False, 'turns', True): show(f'inference, predict_cells, tta={tta}', cost(ours(tta), device, 2)/len(rows), base)

        loader = CellBatches(store, np.arange(len(store)), targets.numpy(), np.ones(len(store), np.float32), args.batch, seed=0).to(device)
        show('batches alone, from the store', cost(lambda: [len(b[0]) for b in loader], device)/len(store), plain)


if __name__ == '__main__': main()
