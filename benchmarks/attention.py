"""Attention pooling over the cells of an image: `python benchmarks/attention.py [--picture FILE]`

Which cells of an image show its label? The maximum of p looks at one cell, the mean at all. Attention pooling (Ilse et
al. 2018, arXiv:1802.04712) learns from image labels alone which cells to look at. For each class, each cell has a
weight; the weights of an image add up to 1, and its log odds are the weighted mean over its cells. `learning.py`
multiplies the score of the image with the probability of the cell: macro average precision 0.521, against 0.627 with
the plain mean of the cells as the score. So attention pooling is not part of the package. Run alone, this script finds
dividing cells in simulated images, to check the code.
"""
import argparse

import numpy as np
import pandas as pd
import torch
from fastcore.test import test_fail

from hpa_cells.classes import MITOTIC, labels_to_targets, n_classes
from hpa_cells.crop import measure_cells
from hpa_cells.dataset import probability_columns
from hpa_cells.predict import PredictError
from hpa_cells.render import render_rgb, show_images
from hpa_cells.simulate import simulate_field


class AttentionPool(torch.nn.Module):
    "From the embeddings of the cells of images to the log odds of the classes of each image."
    def __init__(self, width: int, hidden: int = 64, dropout: float = 0.25):
        super().__init__()
        self.norm, self.drop = torch.nn.BatchNorm1d(width, affine=False), torch.nn.Dropout(dropout)
        self.attend = torch.nn.Sequential(torch.nn.Linear(width, hidden), torch.nn.Tanh(),
                                          torch.nn.Linear(hidden, n_classes))
        self.judge = torch.nn.Linear(width, n_classes)

    def forward(self,
        features: torch.Tensor,  # (N, D) float
        image: torch.Tensor,  # (N,) int, 0..I-1: the image of each cell
    ) -> tuple:  # logits (I, 19), weights (N, 19)
        x, n = self.drop(self.norm(features)), int(image.max()) + 1
        raw, at = self.attend(x), image[:, None].expand(-1, n_classes)
        top = raw.new_full((n, n_classes), -torch.inf).scatter_reduce(0, at, raw, 'amax')
        raw = (raw - top[image].detach()).exp()
        weights = raw / raw.new_zeros(n, n_classes).index_add(0, image, raw)[image]
        return weights.new_zeros(n, n_classes).index_add(0, image, weights*self.judge(x)), weights


def train_attention(
    features: np.ndarray,  # (N, D) float, such as from `embeddings`
    ids,  # (N,) ID of the image of each cell
    labels: pd.DataFrame,  # label table: ID, Label (label set)
    epochs: int = 30,
    images_per_batch: int = 32,
    lr: float = 3e-3,
    seed: int = 0,
) -> AttentionPool:  # in evaluation mode
    "Train attention pooling on image labels."
    image, names = pd.factorize(pd.Series(np.asarray(ids, object)))
    sets = dict(zip(labels['ID'], labels['Label']))
    unknown = [i for i in names if i not in sets]
    if unknown:
        raise PredictError(f"ID {unknown[0]} has cells but no label ({len(unknown)} such images); give only cells of "
                           "labelled images")
    targets = torch.from_numpy(labels_to_targets([sets[i] for i in names]))
    rows = [np.flatnonzero(image == k) for k in range(len(names))]
    x, rng = torch.from_numpy(np.asarray(features, np.float32)), np.random.default_rng(seed)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        pool = AttentionPool(x.shape[1]).train()
        optimizer = torch.optim.AdamW(pool.parameters(), lr=lr, weight_decay=0.1)
        for _ in range(epochs):
            for some in np.array_split(rng.permutation(len(rows)), -(-len(rows)//images_per_batch)):
                at = np.concatenate([rows[k] for k in some])
                own = torch.from_numpy(np.repeat(np.arange(len(some)), [len(rows[k]) for k in some]))
                optimizer.zero_grad()
                torch.nn.functional.binary_cross_entropy_with_logits(pool(x[at], own)[0], targets[some]).backward()
                optimizer.step()
    return pool.eval()


def attention_scores(
    pool: AttentionPool,  # from `train_attention`
    features: np.ndarray,  # (N, D) float
    ids,  # (N,) ID of the image of each cell
) -> tuple:  # images: ID, p0..p18 (float32, 0..1), one row per image; weights (N, 19) float32, sum 1 over an image
    "Compute the scores of images, and the weight of each of their cells."
    image, names = pd.factorize(pd.Series(np.asarray(ids, object)))
    with torch.inference_mode():
        logits, weights = pool(torch.from_numpy(np.asarray(features, np.float32)), torch.from_numpy(image))
    p = pd.DataFrame(logits.sigmoid().numpy(), columns=probability_columns)
    return pd.concat([pd.DataFrame(dict(ID=names)), p], axis=1), weights.numpy()


def render_attention(
    field: np.ndarray,  # (4, H, W) uint8 or uint16
    cells: np.ndarray,  # label map (H, W)
    numbers,  # (n,) int: cells of the image
    weights,  # (n,) float, 0 or more: of one class, from `attention_scores`
) -> np.ndarray:  # (H, W, 3) uint8
    "Draw an image with each cell as bright as its weight."
    bright = np.full(int(max(cells.max(initial=0), *numbers)) + 1, 0.2, np.float32)
    bright[np.asarray(numbers)] = 0.2 + 0.8*np.asarray(weights, float)/max(np.max(weights), 1e-9)
    return (render_rgb(field)*bright[cells][..., None]).astype(np.uint8)


def dividing_cells(seed):
    "A simulated image and its cells; every second image has the label Mitotic spindle, and one or two dividing cells."
    made = simulate_field(160, n_cells=8, labels={0, MITOTIC} if seed % 2 else {0}, seed=seed, mitotic=0)
    cells = measure_cells(made.field, made.cells, made.nuclei)
    divides = [MITOTIC in made.labels[k - 1] for k in cells.cell]
    return made, cells.assign(ID=f'{seed:03}', divides=divides)


def check(picture=None):
    "Train on 60 images, whose labels alone are given, and find the dividing cells of 20 others."
    made, tables = zip(*map(dividing_cells, range(80)))
    cells = pd.concat(tables, ignore_index=True)
    # six numbers of each cell take the place of embeddings, each relative to the other cells of its image
    features = np.log(cells[['red', 'green', 'blue', 'yellow', 'area', 'nucleus_area']].to_numpy() + 0.01)
    features -= pd.DataFrame(features).groupby(cells.ID).transform('mean').to_numpy()
    sets = [frozenset({0, MITOTIC} if k % 2 else {0}) for k in range(80)]
    labels = pd.DataFrame(dict(ID=[f'{k:03}' for k in range(80)], Label=sets))
    old = (cells.ID < '060').to_numpy()
    pool = train_attention(features[old], cells.ID[old], labels, epochs=150, lr=1e-2)
    images, weights = attention_scores(pool, features[~old], cells.ID[~old])
    new = cells[~old].assign(weight=weights[:, MITOTIC])
    assert np.allclose(new.groupby('ID').weight.sum(), 1, atol=1e-5)
    assert images.ID.tolist() == labels.ID[60:].tolist()
    p, found = images[f'p{MITOTIC}'], new[new.ID.isin(new.ID[new.divides])].sort_values('weight')
    found = found.groupby('ID').divides.last().mean()
    print(f'mean p of images with and without the label: {p[1::2].mean():.2f} and {p[::2].mean():.2f}; '
          f'the cell of largest weight divides in {found:.0%} of the images with the label')
    assert found > 0.7 and p[1::2].mean() > p[::2].mean() + 0.2
    test_fail(train_attention, args=(features, cells.ID, labels[1:]), exc=PredictError,
              contains='ID 000 has cells but no label')
    if picture:
        import matplotlib.pyplot as plt
        shown = [(made[k], new[new.ID == f'{k:03}']) for k in (61, 65)]
        show_images([render_rgb(m.field) for m, _ in shown]
                    + [render_attention(m.field, m.cells, t.cell, t.weight) for m, t in shown], size=1.8, columns=2,
                    titles=['image']*2 + ['weight for Mitotic spindle']*2)
        plt.savefig(picture)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--picture', help='file for a picture of two images and the weights of their cells')
    torch.set_num_threads(1)
    check(parser.parse_args().picture)


if __name__ == '__main__': main()
