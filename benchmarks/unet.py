"""The segmentation network beside the public one: `python benchmarks/unet.py [size]`

The public code takes part where it can be imported: hpacellseg and pytorch_zoo, repaired so that they run on today's torch. Both networks have the same random
weights, which go from theirs to ours through a file as it was published. The runs take turns, so that whatever else the machine does hits both."""
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import machine, take_turns
from hpa_cells.simulate import simulate_field
from hpa_cells.unet import DPNUNet, load_unet, predict_unet, prepare_unet, unet_images


def rival(folder, parallel, zipped, deviation=2):
    "The public network with random weights and logits of the given deviation, and the file that it was saved to; None where it cannot be imported."
    try:
        from pytorch_zoo import abstract_model, dpn
        from pytorch_zoo.unet import DPNUnet
        import hpacellseg  # noqa: F401
    except ImportError as e:
        print(f'the public code cannot be imported ({e}): ours alone\n')
        return None, None
    abstract_model.encoder_params['dpn92'].update(init_op=partial(dpn.dpn92, pretrained=None), url=None)     # no ImageNet weights from the net
    net = DPNUnet(3, 3).eval()
    with torch.no_grad(): net.final[0].weight *= deviation/net(normalised(image(512))).std()
    path = Path(folder)/'published.pth'
    torch.save(torch.nn.DataParallel(net) if parallel else net, path, _use_new_zipfile_serialization=zipped)
    return net, path


def image(size): return unet_images(simulate_field(size, seed=0).field)['cells']

def normalised(im):
    mean = torch.tensor([124, 117, 104.]).view(3, 1, 1)/255
    return ((torch.from_numpy(im) - mean)*(0.0167*255))[None]


@torch.no_grad()
def main(size=2048):
    torch.manual_seed(0)
    torch.set_num_threads(2)
    print(machine(torch), '\n')
    im, results = image(size), {}
    with tempfile.TemporaryDirectory() as folder:
        for parallel, zipped in ((True, False), (False, True)):
            theirs, path = rival(folder, parallel, zipped)
            if theirs is None: break
            full = theirs(normalised(im)).softmax(1)[0].numpy()
            ours = load_unet(path)
            exact = predict_unet(ours, [im])[0]
            merged = predict_unet(prepare_unet(ours, 'cpu', torch.float32), [im])[0]
            fast = predict_unet(prepare_unet(ours, 'cpu'), [im])[0]
            print(f"saved {'in a DataParallel' if parallel else 'alone'}, {'zip' if zipped else 'legacy'}: largest difference of a probability "
                  f'{np.abs(exact-full).max():.1e} as loaded, {np.abs(merged-full).max():.1e} made ready in float32, {np.abs(fast-full).max():.4f} at full speed')
    net = prepare_unet(ours if theirs is not None else DPNUNet(), 'cpu')
    functions = {'ours': lambda: predict_unet(net, [im])}
    if theirs is not None: functions['public'] = lambda: theirs(normalised(im)).softmax(1).numpy()
    results = take_turns(functions)
    print(f'\n| one network, a field of {size} px | seconds | processor seconds |\n|---|---|---|')
    for name, (wall, cpu) in results.items(): print(f'| {name} | {wall:.2f} | {cpu:.2f} |')
    if theirs is not None: print('\npublic / ours: ' + ', '.join(f'{a/b:.2f}' for a, b in zip(results['public'], results['ours'])))

if __name__ == '__main__': main(*map(int, sys.argv[1:]))
