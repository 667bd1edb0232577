"""What is shown of one image, as HTML that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from frostline.inference.stream import Answer
from frostline.plots.explain import blend
from frostline.report.images import jpeg_source
from frostline.report.rendering import render_template
from frostline.serving.neighbours import Neighbour
from frostline.task import Task
from frostline.text import percent

SEEN_IN_WORDS = {
    "trained on": "this very file was trained on",
    "chosen by": "this very file was a validation image, by which the network was chosen",
}


@dataclass(frozen=True)
class ClassRow:
    """A class, how probable it is, and whether it is in the prediction set."""

    name: str
    probability: str
    width: float
    """Of its bar, percent."""
    in_set: bool


@dataclass(frozen=True)
class Picture:
    """An image with what stands below it."""

    source: str
    caption: str


@dataclass(frozen=True)
class Shown:
    """All of one answer."""

    likeliest: str
    probability: str
    rows: tuple[ClassRow, ...]
    coverage: str
    prediction_set: str
    threshold: str | None
    networks: str | None
    flag: str
    """Why not to rely on it; empty where nothing is known."""
    unlike: bool | None
    """Whether it is unlike the training images; None: not known."""
    image: Picture
    heat: Picture | str
    """The heat map, or what is to be said in its place."""
    neighbours: tuple[Picture, ...]
    without_neighbours: str
    caveats: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """Why there is no answer."""

    reason: str


def show(
    grey: np.ndarray,
    said: Answer,
    task: Task,
    networks: int,
    coverage: float,
    heat: np.ndarray | str,
    neighbours: Sequence[Neighbour] | str,
    caveats: Sequence[str],
) -> str:
    """The answer of so many networks on an image float32 [S, S] in 0..1, as HTML.

    `heat`: float32 [S, S] in 0..1 for the likeliest class, or what is to be said in its place; `neighbours` likewise.
    """
    p = said.probabilities
    assert p is not None
    likeliest = task.classes[int(np.argmax(p))]
    rows = tuple(
        ClassRow(name, percent(p[i]), round(100 * p[i], 1), i in said.classes) for i, name in enumerate(task.classes)
    )
    threshold = together = None
    if said.positive is not None:
        reached = "reached" if said.positive else "not reached"
        threshold = f"{task.positive} at the threshold chosen in training: {reached}"
    if said.disagreement is not None:
        others = round(said.disagreement * networks)
        together = f"{networks} networks answer together; {others or 'none'} of them would name another class"
    looked: Picture | str
    if isinstance(heat, str):
        looked = heat
    else:
        where = f"where it looked for {likeliest}" if heat.any() else f"nothing in it speaks for {likeliest}"
        looked = Picture(jpeg_source(blend(grey, heat)), where)
    near = () if isinstance(neighbours, str) else neighbours
    return render_template(
        "answer.html",
        Shown(
            likeliest,
            percent(max(p)),
            rows,
            percent(coverage),
            _set(said, task),
            threshold,
            together,
            "; ".join(filter(None, [said.flag, SEEN_IN_WORDS.get(said.seen, "")])),
            None if said.unlike is None else said.unlike > 1,
            Picture(jpeg_source(grey), f"as the network gets it, {grey.shape[0]} x {grey.shape[1]} pixels"),
            looked,
            tuple(Picture(jpeg_source(n.grey), f"{n.label}: {n.path}") for n in near),
            neighbours if isinstance(neighbours, str) else "",
            tuple(caveats),
        ),
        package="frostline.serving",
    )


def _set(said: Answer, task: Task) -> str:
    if len(said.classes) == len(task):
        return "all of them, which says nothing"
    return ", ".join(task.classes[i] for i in said.classes) or "none, for no class fits as well as in validation"


def show_failed(reason: str) -> str:
    """Why there is no answer, as HTML."""
    return render_template("failed.html", Failed(reason), package="frostline.serving")
