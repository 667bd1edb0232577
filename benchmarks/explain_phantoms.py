"""Whether heat maps lie on the lesion: python benchmarks/explain_phantoms.py RUN, a run on phantoms such as the demo.

Where the lesion is, is known: where a patient's image differs from that of the same patient without one. Of the lesions
on validation and test images that are classified rightly: how often the map's highest point lies on the lesion (the
pointing game, Zhang et al. 2018) and which share of the map does, beside the same network with random weights, and
beside the lesion's share of the image, which is chance. Prints a Markdown table.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from frostline.config.compose import read_config
from frostline.data.cache import load_image
from frostline.data.dataset import data_root
from frostline.data.manifest import read_manifest
from frostline.data.phantoms.patients import render_hu
from frostline.inference.heat import Method, heat_maps
from frostline.inference.network import load_network
from frostline.models.classifier import SliceClassifier
from frostline.runs.folder import RunFolder
from frostline.training.recipe import prepare_model

DIFFERENT = 100  # HU by which a lesion is told from what else would be there
AT_ONCE = 8
MOST = 20  # images of each lesion: occlusion takes 144 passes for each


def lesion(path: str, seed: int, slices: int, size: int, shown: int) -> np.ndarray:
    """Where the lesion of a phantom's image of `size` lies when it is shown at `shown` pixels, bool."""
    found = re.fullmatch(r"(\w+)/patient_(\d+)_slice_(\d+)\.png", path)
    assert found is not None
    rng = [seed, int(found[2])]
    ill, well = (
        render_hu(np.random.default_rng(rng), name, slices, size)[int(found[3])] for name in (found[1], "normal")
    )
    covered = torch.from_numpy((np.abs(ill - well) > DIFFERENT).astype(np.float32))
    shares = torch.nn.functional.adaptive_avg_pool2d(covered[None], shown)[0]
    where: np.ndarray = (shares >= 0.5).numpy()
    return where


def on_lesion(heat: np.ndarray, lesions: np.ndarray) -> tuple[float, float]:
    """How often the highest point lies on the lesion, and the share of the heat that does: both [N, S, S]."""
    hits = [bool(m.flat[h.argmax()] and h.any()) for h, m in zip(heat, lesions, strict=True)]
    shares = [h[m].sum() / h.sum() if h.any() else 0.0 for h, m in zip(heat, lesions, strict=True)]
    return float(np.mean(hits)), float(np.mean(shares))


def maps(network: SliceClassifier, images: torch.Tensor, targets: torch.Tensor, method: Method) -> np.ndarray:
    """Heat maps, a few at a time."""
    parts = [
        heat_maps(network, images[i : i + AT_ONCE], targets[i : i + AT_ONCE], method)
        for i in range(0, len(images), AT_ONCE)
    ]
    return np.concatenate(parts)


def rows(run: Path) -> Iterator[tuple[str, int, str, Method, float, float, float]]:
    """By lesion: number of images, which network, method, hits, share of the map, chance."""
    config, trained = read_config(run), load_network(RunFolder(run).best_checkpoint)
    phantom, size = config.data.phantom, trained.image_size
    torch.manual_seed(0)
    blank = replace(config, model=replace(config.model, weights=None))
    untrained = prepare_model(blank, len(trained.task)).network.eval()
    root = data_root(config.data, Path(config.logs_dir) / "cache")
    listed = [e for e in read_manifest(RunFolder(run).manifest) if e.split != "train"]
    for name in ("malignant", "benign"):
        of = [e for e in listed if e.label == name]
        images = torch.stack([load_image(root / e.path, size, trained.reading) for e in of])
        with torch.no_grad():
            right = trained.network(images).argmax(1) == trained.task.index(name)
        where = [lesion(e.path, phantom.seed, phantom.slices, phantom.size, size) for e in of]
        images, lesions = images[right][:MOST], np.stack(where)[right.numpy()][:MOST]
        targets = torch.full((len(images),), trained.task.index(name))
        for state, network in (("trained", trained.network), ("random weights", untrained)):
            for method in ("occlusion", "gradcam"):
                hit, share = on_lesion(maps(network, images, targets, method), lesions)
                yield name, len(images), state, method, hit, share, float(lesions.mean())


def main(run: Path) -> None:
    """Print the table."""
    print(
        "| lesion | images | network | method | highest point on it | share of the map on it | its share of the image |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, count, state, method, hit, share, chance in rows(run):
        cells = f"{100 * hit:.0f} % | {100 * share:.0f} % | {100 * chance:.1f} %"
        print(f"| {name} | {count} | {state} | {method} | {cells} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
