"""Which foreign pictures are flagged as unlike the training images: python benchmarks/unlike.py RUN [IMAGES].

RUN is a tested run. Of its validation images (which set the limit) and, changed in some way, of its test images it
counts those that are flagged; and of pictures that come with packages: photographs, an MR slice, ultrasound, text.
IMAGES may be folders of others. Prints a Markdown table.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.cbook
import numpy as np
import pydicom.data
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms.v2 import functional as F

from frostline.config.compose import read_config
from frostline.data.cache import as_tensor, load_image
from frostline.data.dataset import data_root
from frostline.data.images import read_slice
from frostline.data.manifest import read_manifest
from frostline.inference.network import TrainedNetwork, load_network
from frostline.inference.stream import find_images
from frostline.runs.folder import RunFolder

CHANGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "as they are": lambda x: x,
    "mirrored": F.horizontal_flip,
    "turned by a quarter": lambda x: x.rot90(1, (-2, -1)),
    "upside down": F.vertical_flip,
    "inverted": lambda x: 1 - x,
    "a narrow window": lambda x: ((x - 0.5) * 4 + 0.5).clamp(0, 1),
    "a dark window": lambda x: (x * 1.6 - 0.6).clamp(0, 1),
    "noise of 0.1": lambda x: (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1),
    "the middle, twice as large": lambda x: F.resize(
        F.center_crop(x, [s // 2 for s in x.shape[-2:]]), list(x.shape[-2:])
    ),
    "blurred": lambda x: F.gaussian_blur(x, [21, 21], [4.0, 4.0]),
}


def grey(picture: np.ndarray, size: int) -> torch.Tensor:
    """A picture in 0..255 as the network gets it."""
    flat = np.asarray(Image.fromarray(picture).convert("L"), dtype=np.float32) / 255
    return as_tensor(flat, size)


def pieces(picture: np.ndarray, size: int) -> Iterator[torch.Tensor]:
    """Nine parts of a photograph."""
    rows, columns = (np.linspace(0, n // 2, 3).astype(int) for n in picture.shape[:2])
    for y in rows:
        for x in columns:
            yield grey(picture[y : y + picture.shape[0] // 2, x : x + picture.shape[1] // 2], size)


def foreign(network: TrainedNetwork) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """Pictures that are no CT, by kind."""
    size = network.image_size
    photographs = [np.asarray(image) for image in load_sample_images().images]
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        photographs.append(np.asarray(Image.open(file).convert("RGB")))
    yield "parts of photographs (temple, flower, portrait)", [p for photo in photographs for p in pieces(photo, size)]
    for what, name in (("MR", "MR_small.dcm"), ("ultrasound in colour", "examples_ybr_color.dcm")):
        pixels = pydicom.dcmread(pydicom.data.get_testdata_file(name)).pixel_array
        frames = pixels if pixels.ndim == 4 else pixels[None]
        scaled = [255.0 * (f - f.min()) / max(1.0, float(np.ptp(f))) for f in frames[:20].astype(np.float32)]
        yield f"{what} (pydicom's {name})", [grey(f.astype(np.uint8), size) for f in scaled]
    yield "text and curves", [drawn(seed, size) for seed in range(9)]
    yield (
        "one grey, noise",
        [torch.full((1, size, size), v) for v in (0.0, 0.5, 1.0)]
        + [torch.rand((1, size, size), generator=torch.Generator().manual_seed(seed)) for seed in range(6)],
    )


def drawn(seed: int, size: int) -> torch.Tensor:
    """A plot with some text."""
    figure = Figure(figsize=(3, 3))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(np.random.default_rng(seed).normal(size=30).cumsum())
    axes.set_title(f"patient {seed}: see letter")
    figure.canvas.draw()
    return grey(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy(), size)


def flagged(network: TrainedNetwork, images: list[torch.Tensor]) -> np.ndarray:
    """How far images are; beyond 1 they are flagged."""
    far = []
    for at in range(0, len(images), 16):
        said = network.say(torch.stack(images[at : at + 16]), 0.9)
        if said.unlike is None:
            sys.exit("the network does not know its training images: take a tested run")
        far.append(said.unlike)
    return np.concatenate(far)


def main(run: Path, others: list[str]) -> None:
    """Print the table."""
    folder, config = RunFolder(run), read_config(run)
    network = load_network(folder.best_checkpoint)
    root = data_root(config.data, Path(config.logs_dir) / "cache")
    listed = read_manifest(folder.manifest)
    by_split = {
        split: [load_image(root / e.path, network.image_size, network.reading) for e in listed if e.split == split]
        for split in ("val", "test")
    }
    rows = [("validation images, which set the limit", by_split["val"])]
    rows += [(f"test images, {what}", [change(x) for x in by_split["test"]]) for what, change in CHANGES.items()]
    rows += list(foreign(network))
    for other in others:
        files = list(find_images([other]))
        images = [as_tensor(read_slice(file, network.reading).grey, network.image_size) for file in files]
        rows.append((Path(other).name, images))
    print("| images | number | flagged | middle distance |\n|---|---|---|---|")
    for what, images in rows:
        far = flagged(network, images)
        print(f"| {what} | {len(far)} | {100 * (far > 1).mean():.0f} % | {np.median(far):.2f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
