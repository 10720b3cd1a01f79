"""SubCell compared with its public wrapper, and its speed: `python benchmarks/subcell.py [--wrapper FOLDER]`

FOLDER is a checkout of github.com/CellProfiling/SubCellPortable at 676f0e1, whose `vit_model.py` needs
`transformers` 4.49. The wrapper's network gets random weights, which are written in the layout of the published files
and read by both programs. Random weights are larger than the default, so that attention and probabilities vary.
"""
import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np
import timm
import torch

from common import clock, machine
from hpa_cells.simulate import simulate_field
from hpa_cells.crop import crop_cells, measure_cells
from hpa_cells.subcell import SubCell, channel_sets, load_subcell, subcell_features

colours = dict(r='red', g='green', b='blue', y='yellow')


def settings(channels):
    "The wrapper's model_config.yaml."
    vit = dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, hidden_act='gelu',
               hidden_dropout_prob=0., attention_probs_dropout_prob=0., initializer_range=0.02, layer_norm_eps=1e-12,
               image_size=448, patch_size=16, num_channels=len(channels), qkv_bias=True)
    return dict(vit_model=vit, pool_model=dict(dim=768, int_dim=512, num_heads=2), num_classes=31)


def write_published(theirs, folder, n_classifiers):
    "Write random weights with the published names; in the trained network, dropout stands before some layers."
    state = {f'encoder.{k}': v for k, v in theirs.encoder.state_dict().items()}
    state |= {f'pool_model.{k}'.replace('.0.', '.1.'): v for k, v in theirs.pool_model.state_dict().items()}
    torch.save(state, folder/'encoder.pth')
    paths = [folder/f'classifier_s{n}.pth' for n in range(n_classifiers)]
    for path in paths:
        layers = theirs.make_classifier()
        for p in layers.parameters(): torch.nn.init.normal_(p, std=0.06)
        torch.save({f'{int(k[0])*3//2}{k[1:]}': v for k, v in layers.state_dict().items()}, path)
    return folder/'encoder.pth', paths


def wrapper_result(theirs, inference, crops, channels):
    "The wrapper's own preprocessing and network, one cell at a time as there."
    names, found = ('red', 'green', 'blue', 'yellow'), []
    for crop in crops:
        cell = [[crop[names.index(colours[c])]] for c in channels]
        x = inference.min_max_standardize(torch.from_numpy(np.stack(cell, axis=1)).float())
        with torch.no_grad(): out = theirs(x)
        found.append([v[0].numpy() for v in (out.pool_op, out.pool_attn, out.probabilities)])
    return [np.stack(v) for v in zip(*found)]


def compare(wrapper, crops_of):
    "Print the largest differences for each channel set and crop size."
    sys.path.insert(0, str(wrapper))
    import inference
    from vit_model import ViTPoolClassifier
    print('| channels | px | features: largest value, difference | attention | probabilities |\n|---|---|---|---|---|')
    for size, crops in crops_of.items():
        for channels in channel_sets if size == 448 else channel_sets[:1]:     # other sizes: positions are interpolated
            torch.manual_seed(len(channels))
            theirs = ViTPoolClassifier(settings(channels)).eval()
            for name, p in theirs.named_parameters():
                if p.ndim > 1: torch.nn.init.normal_(p, std=0.05 if 'pool' in name else 0.03)
                elif 'norm' not in name: torch.nn.init.normal_(p, std=0.05)
            with TemporaryDirectory() as folder:
                encoder, paths = write_published(theirs, Path(folder), 2)
                theirs.load_model_dict(encoder, paths)
                theirs.eval()
                ours = load_subcell(folder, channels)
            a = subcell_features(ours, crops, 2, 'cpu', 'float32')
            b = wrapper_result(theirs, inference, crops, channels)
            cells = [f'{np.abs(y).max():.3g}, {np.abs(x - y).max():.1e}' for x, y in zip(a, b)]
            print(f'| {channels} | {size} | {" | ".join(cells)} |', flush=True)
            assert all(np.abs(x - y).max() < 1e-4 for x, y in zip(a, b))


def speed(crops, batch_size, precision):
    "Cells per second, and CPU seconds per cell, which other jobs on the machine change less."
    net = SubCell('rybg', 10).eval()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    subcell_features(net, crops[:batch_size], batch_size, device, precision)
    start = process_time()
    _, seconds = clock(lambda: subcell_features(net, crops, batch_size, device, precision))
    return len(crops)/seconds, (process_time() - start)/len(crops)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--wrapper', type=Path, help="checkout of SubCellPortable; default: measure the speed only")
    parser.add_argument('--size', type=int, choices=(448, 640), help="compare at this size only")
    parser.add_argument('--cells', type=int, default=16, help="cells for the speed; 0: none")
    args = parser.parse_args()
    print(machine(torch, timm))
    sim = simulate_field(1024, seed=3)
    table = measure_cells(sim.field, sim.cells)
    crops_of = {size: crop_cells(sim.field, sim.cells, table[:2], size) for size in (448, 640)}
    if args.wrapper: compare(args.wrapper, {k: v for k, v in crops_of.items() if args.size in (None, k)})
    if not args.cells: return
    crops = np.resize(crops_of[448], (args.cells, 4, 448, 448))
    print(f'{torch.get_num_threads()} threads, rybg, 448 px, 10 classifiers')
    for batch_size, precision in ((1, 'float32'), (8, 'float32'), (8, 'bfloat16')):
        rate, cost = speed(crops, batch_size, precision)
        print(f'batch {batch_size}, {precision}: {rate:.2f} cells per second; {cost:.2f} CPU seconds per cell',
              flush=True)


if __name__ == '__main__': main()
