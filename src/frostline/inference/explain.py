"""`frostline explain`: an overlay of every image, and sheets of all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from frostline.data.cache import as_tensor
from frostline.errors import ConfigError, FrostlineError
from frostline.inference.command import split_arguments
from frostline.inference.ensemble import load_ensemble
from frostline.inference.heat import Method, cell_size, heat_maps
from frostline.inference.network import Network, TrainedNetwork
from frostline.inference.stream import Answer, answer_read, find_images, how_seen, once_each, read_for, splits_of
from frostline.plots.explain import Overlay, plot_overlay, plot_sheet
from frostline.plots.style import write_png
from frostline.terminal import progress
from frostline.text import percent

A_SHEET = 24  # images
OURS = re.compile(r"\d{4,}_.*\.png|contact_sheet(_\d+)?\.png")
SHOWS = (
    "A heat map shows where the network looked for a class, not whether it is right, and not why. "
    "A figure for research, no diagnosis."
)


@dataclass(frozen=True)
class Explained:
    """An image, what is said of it, and where that was looked for."""

    file: Path
    grey: np.ndarray
    """float32 [S, S] in 0..1, as the network gets it."""
    heat: np.ndarray
    """float32 [S, S] in 0..1; of several networks the mean."""
    name: str
    """The class that it speaks for."""
    answer: Answer


def explain(
    networks: Sequence[TrainedNetwork], files: Iterable[Path], class_name: str | None, method: Method, coverage: float
) -> Iterable[Explained | tuple[Path, str]]:
    """Heat maps of files for a class, or for the predicted one, one after the other; of a bad file why there is none.

    Raises `ConfigError` as `same_images`.
    """
    first = networks[0]
    same_images(networks)
    for file in files:
        seen = look_at(networks, file, coverage)
        if isinstance(seen, str):
            yield file, seen
            continue
        image, said = seen
        assert said.probabilities is not None
        index = int(np.argmax(said.probabilities)) if class_name is None else first.task.index(class_name)
        yield Explained(
            file, image[0].numpy(), mean_heat(networks, image, index, method), first.task.classes[index], said
        )


def same_images(networks: Sequence[Network]) -> None:
    """Raise `ConfigError` for networks that get images in different ways: what they see does not lie on one another."""
    first = networks[0]
    if any((n.reading, n.image_size) != (first.reading, first.image_size) for n in networks):
        raise ConfigError("these networks read images in different ways or sizes: take them one at a time")


def look_at(networks: Sequence[Network], file: Path, coverage: float) -> tuple[torch.Tensor, Answer] | str:
    """A file as networks that read alike get it, [1, S, S], and what they say of it; or why they say nothing."""
    read = read_for(file, networks[0])
    if isinstance(read, str):
        return read
    image = as_tensor(read.grey, networks[0].image_size)
    (said,) = answer_read(networks, [file], image[None], coverage)
    if said.probabilities is None:
        return said.flag
    return image, replace(said, seen=how_seen(file, splits_of(networks)))


def mean_heat(networks: Sequence[TrainedNetwork], image: torch.Tensor, index: int, method: Method) -> np.ndarray:
    """Where networks look for a class in an image [1, S, S]: float32 [S, S] in 0..1, of several the mean."""
    maps = [heat_maps(n.network, image[None], torch.tensor([index]), method)[0] for n in networks]
    heat: np.ndarray = np.mean(maps, axis=0)
    return heat


def heat_of_file(network: TrainedNetwork, file: Path, class_name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """An image as the network gets it, and its heat map by occlusion, float32 [S, S]; None of a bad file."""
    read = read_for(file, network)
    if isinstance(read, str):
        return None
    image = as_tensor(read.grey, network.image_size)
    target = torch.tensor([network.task.index(class_name)])
    return image[0].numpy(), heat_maps(network.network, image[None], target, "occlusion")[0]


def explain_files(
    arguments: Sequence[str], out: Path, class_name: str | None, method: Method, most: int, coverage: float
) -> str:
    """Write overlays and sheets of the images among `arguments` to `out`; returns what to tell of it.

    Raises `FrostlineError` where networks or images are missing, for an unknown class, or a folder that is in use.
    """
    checkpoints, targets = split_arguments(arguments)
    networks = [n for n in load_ensemble(checkpoints) if isinstance(n, TrainedNetwork)]
    if len(networks) < len(checkpoints):
        raise ConfigError("heat maps are made with checkpoints (.ckpt), not with ONNX files")
    task = networks[0].task
    if class_name is not None and class_name not in task.classes:
        raise ConfigError(f"--class {class_name}: these networks know {', '.join(task.classes)}")
    files = [file for file in once_each(find_images(targets)) if out.resolve() not in file.resolve().parents]
    if not files:
        raise FrostlineError(f"no image but those in {out}, where the heat maps go")
    taken, left = files[:most], len(files) - min(most, len(files))
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()) and not (out / _sheet(0)).is_file():
            raise FrostlineError(f"{out}: is not empty; name a new folder for the heat maps")
        for old in out.iterdir():  # of an earlier call: they would seem to belong to these
            if OURS.fullmatch(old.name):
                old.unlink()
    except OSError as error:
        raise FrostlineError(f"{out}: cannot be written ({error.strerror})") from None
    page: list[Overlay] = []
    made, sheets, bad = 0, 0, []
    for i, one in enumerate(explain(networks, progress(taken, "explaining"), class_name, method, coverage)):
        if not isinstance(one, Explained):
            bad.append(f"{one[0]}: {one[1]}")
            continue
        overlay = _overlay(one, task.classes)
        write_png(plot_overlay(overlay), out / f"{i + 1:04d}_{_plain(one.file.stem)}.png")
        made += 1
        page.append(overlay)
        if len(page) == A_SHEET:
            write_png(plot_sheet(page), out / _sheet(sheets))
            page, sheets = [], sheets + 1
    if not made:
        raise FrostlineError(f"none of {len(taken)} files has a heat map; the first: {bad[0]}")
    if page:
        write_png(plot_sheet(page), out / _sheet(sheets))
        sheets += 1
    size = networks[0].image_size
    coarse = ""
    if method == "gradcam":
        cells = cell_size(networks[0].network, torch.zeros(1, 1, size, size))
        coarse = f"One cell of Grad-CAM is {cells} of {size} pixels wide: it cannot outline anything smaller.\n"
    lines = [
        f"{out}: {made} heat maps by {method}, {sheets} {'sheet' if sheets == 1 else 'sheets'}",
        *([f"the first {most} of {len(files)} images: --most takes more"] if left else []),
        *([f"{len(bad)} files without one: {'; '.join(bad[:3])}"] if bad else []),
    ]
    return "\n".join([*lines, f"{coarse}{SHOWS}"])


def _overlay(one: Explained, classes: Sequence[str]) -> Overlay:
    p = one.answer.probabilities
    assert p is not None
    predicted = int(np.argmax(p))
    said = f"{classes[predicted]} at {percent(p[predicted])}"
    sets = ", ".join(classes[i] for i in one.answer.classes) or "none"
    where = "" if one.heat.any() else "; nothing speaks for it"
    return Overlay(one.grey, one.heat, one.file.name, said, f"set: {sets}", f"for {one.name}{where}", one.answer.flag)


def _sheet(page: int) -> str:
    return f"contact_sheet{'' if not page else f'_{page + 1}'}.png"


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:80]
