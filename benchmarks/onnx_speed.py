"""ONNX beside torch: `python benchmarks/onnx_speed.py [unet] [ARCH:SIZE ...]`; default: three classifiers and the segmentation network

Both engines predict the same crops in one process and take turns, so that other work on the machine slows both. The table has the shortest
wall time and the shortest processor time of a batch, and the largest difference of a probability. torch runs as `predict_cells` and
`predict_unet` run it: channels last, the segmentation network prepared, 32 bits. The file is not named onnx.py, because Python would then
import it in place of the package.
"""
import copy
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault('OMP_WAIT_POLICY', 'passive')  # as the command sets it: waiting threads do not spin

import numpy as np
import onnxruntime
import torch
from common import machine, take_turns
from hpa_cells.network import CellNet
from hpa_cells.onnx import OnnxNet, export_onnx, export_unet_onnx
from hpa_cells.unet import DPNUNet, predict_unet, prepare_unet

threads, batch = int(os.environ.get('OMP_NUM_THREADS', 2)), 32


def report(what, functions):
    results = {name: np.asarray(f()) for name, f in functions.items()}
    (wall_t, cpu_t), (wall_o, cpu_o) = take_turns(functions, rounds=5).values()
    a, b = results.values()
    print(f'| {what} | {wall_t:.3f} | {wall_o:.3f} | {wall_t/wall_o:.2f} | {cpu_t:.3f} | {cpu_o:.3f} | {cpu_t/cpu_o:.2f} | '
          f'{np.abs(a - b).max():.1e} |', flush=True)


def classifier(folder, arch, size):
    torch.manual_seed(0)
    net = CellNet(arch).eval()
    path = export_onnx(net, folder/f'{arch}.onnx', size=size)
    net, file = net.to(memory_format=torch.channels_last), OnnxNet(path, threads)
    crops = torch.randint(0, 256, (batch, 4, size, size), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    report(f'{arch}, {batch} crops of {size} px', dict(torch=lambda: net(crops).sigmoid(), onnx=lambda: file(crops).sigmoid()))


def segmenter(folder, size=512):
    torch.manual_seed(0)
    net = DPNUNet().eval()
    path = export_unet_onnx(net, folder/'unet.onnx')
    net, options = prepare_unet(copy.deepcopy(net), 'cpu', torch.float32), onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    image = np.random.default_rng(0).random((3, size, size), np.float32)
    report(f'segmentation network, 1 image of {size} px', dict(torch=lambda: predict_unet(net, [image])[0],
                                                               onnx=lambda: session.run(None, {'images': image[None]})[0][0]))


@torch.inference_mode()
def main(*what):
    torch.set_num_threads(threads)
    print(machine(torch, onnxruntime), f'{threads} threads', sep=', ', end='\n\n')
    print('| what | torch, s | ONNX, s | torch/ONNX | torch, CPU s | ONNX, CPU s | torch/ONNX, CPU | difference |')
    print('|---|---|---|---|---|---|---|---|')
    with tempfile.TemporaryDirectory() as folder:
        for name in what or ('resnet18:128', 'mobilenetv4_conv_small_050:128', 'densenet121:128', 'unet'):
            if name == 'unet': segmenter(Path(folder))
            else:
                arch, size = name.split(':')
                classifier(Path(folder), arch, int(size))


if __name__ == '__main__': main(*sys.argv[1:])
