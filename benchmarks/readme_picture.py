"""Draw the picture at the top of the README from simulated images and their ground truth; no model is involved.

    python benchmarks/readme_picture.py [--out nbs/images/overview.jpg]

Left: the input, an image with its image-level labels. Right: every cell with its outline and its true classes.
"""
import argparse
from pathlib import Path

import cv2
import matplotlib
import numpy as np

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.patheffects import withStroke

from hpa_cells.classes import class_names
from hpa_cells.outlines import cell_polygons
from hpa_cells.render import render_rgb
from hpa_cells.simulate import simulate_field

SIZE, CELLS, LABELS, SEED = (480, 600), 8, (2, 14), 0
COLOURS = {2: "#ffb000", 14: "#7fff7f"}


def names(classes):
    return "\n".join(class_names[c] for c in sorted(classes)) or "neither"


def colour(classes):
    return COLOURS[min(classes)] if len(classes) == 1 else "white" if classes else "#b0b0b0"


def best_place(size, cell, avoid):
    "Return the centre (x, y) for a text of a size (width, height): inside the image and the cell, away from `avoid`."
    width, height = (int(np.ceil(s)) | 1 for s in size)
    box = np.ones((height, width), np.float32)
    cost = cv2.filter2D(avoid + 2*(~cell), -1, box, borderType=cv2.BORDER_CONSTANT)
    rows, columns = np.indices(cell.shape)
    margin_y, margin_x = height//2 + 4, width//2 + 4
    outside = (rows < margin_y) | (rows >= len(cell) - margin_y) | (columns < margin_x)
    cost[outside | (columns >= cell.shape[1] - margin_x)] = np.inf
    y, x = np.unravel_index(cost.argmin(), cost.shape)
    return x, y, width, height


def draw_cells(ax, simulated):
    "Outline every cell and write its classes into it."
    renderer, avoid = ax.figure.canvas.get_renderer(), (simulated.nuclei > 0).astype(np.float32)
    for k, polygons in cell_polygons(simulated.cells).items():
        classes = simulated.labels[k - 1]
        for ring in (r for rings in polygons for r in rings):
            ax.plot(*np.vstack([ring, ring[:1]]).T, color=colour(classes), lw=1.6)
        text = ax.text(0, 0, names(classes), color=colour(classes), fontsize=9, ha="center", va="center", weight="bold",
                       linespacing=1.1, path_effects=[withStroke(linewidth=2.5, foreground="black")])
        extent = text.get_window_extent(renderer).transformed(ax.transData.inverted())
        x, y, width, height = best_place((abs(extent.width), abs(extent.height)), simulated.cells == k, avoid)
        text.set_position((x, y))
        avoid[max(y - height//2 - 3, 0):y + height//2 + 4, max(x - width//2 - 3, 0):x + width//2 + 4] += 10


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent/"nbs"/"images"/"overview.jpg")
    out = parser.parse_args().out
    simulated = simulate_field(SIZE, CELLS, set(LABELS), SEED)
    fig, axes = plt.subplots(1, 2, figsize=(9.6, 4.15), dpi=100, layout="constrained")
    for ax in axes:
        ax.imshow(render_rgb(simulated.field), extent=(0, SIZE[1], SIZE[0], 0))
        ax.axis("off")
    axes[0].set_title("Input: an image, labelled " + " and ".join(class_names[c] for c in LABELS), fontsize=11)
    axes[1].set_title("Output: the protein's locations in each cell", fontsize=11)
    fig.canvas.draw()
    draw_cells(axes[1], simulated)
    fig.savefig(out, pil_kwargs=dict(quality=85))


if __name__ == "__main__":
    main()
