"""What `import frostline` gives. Plain values in, typed results out; errors that one can mend are `FrostlineError`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frostline.config.compose import compose_config
from frostline.errors import ConfigError, FrostlineError

if TYPE_CHECKING:
    from frostline.config.schema import RunConfig
    from frostline.data.dataset import SplitData
    from frostline.inference.network import Network
    from frostline.inference.stream import Answer
    from frostline.models.layer_tables import Layer
    from frostline.runs.finished import FinishedRun

PathLike = str | Path


@dataclass(frozen=True)
class Evaluation:
    """What can be said of a model's predictions on one set of images."""

    name: str
    metrics: Mapping[str, Any]
    """`acc`, `acc/lower`, `acc/upper` (95 % interval over patients), `auroc_macro` ...; by patient `patient/acc` ...

    Shares are 0..1. Where there is no interval it is NaN, and `acc/why` says why.
    """
    text: str
    """The same as a table for the screen."""
    run: FinishedRun

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Comparison:
    """Two models or more on the same images."""

    text: str
    """Metrics side by side, and a verdict of every pair, by image and by patient."""
    shown: Mapping[tuple[str, str], bool]
    """Of every pair of names whether a difference in accuracy is shown: by a test that swaps patients, and by its
    interval, corrected for the number of pairs."""

    def __str__(self) -> str:
        return self.text


def load(*checkpoints: PathLike) -> list[Network]:
    """Trained networks out of checkpoints, run folders, or folders of runs; several answer together.

    Nothing in a checkpoint is executed. Raises `FrostlineError` for what is none, damaged, or of other classes.
    """
    from frostline.inference.command import require_checkpoints
    from frostline.inference.ensemble import load_ensemble

    if not checkpoints:
        raise ConfigError("frostline.load takes a checkpoint, or a run's folder")
    return load_ensemble(require_checkpoints([Path(path) for path in checkpoints]))


def predict(
    networks: Network | Sequence[Network],
    images: PathLike | Iterable[PathLike],
    *,
    coverage: float = 0.9,
    batch: int = 16,
) -> list[Answer]:
    """What `networks` say of images: files, folders and patterns, in order, a bad file with the reason in `flag`.

    Of each `probabilities` [C] (calibrated, None of a bad file), `predicted` (the likeliest class, an index of
    `networks[0].task.classes`), `entropy` (bits), `classes` (the prediction set, indices too, which holds the true
    class in a share `coverage` of cases, 0..1), `positive` (at the threshold of training), `unlike` (beyond 1 it is
    unlike the training images). No diagnosis. Raises `FrostlineError` for a name that stands for nothing.
    """
    from frostline.inference.network import Network
    from frostline.inference.stream import answer, find_images, once_each

    asked = [networks] if isinstance(networks, Network) else [*networks]
    if not asked:
        raise ConfigError("frostline.predict takes a network or several, as frostline.load gives them")
    if not 0 < coverage < 1 or batch < 1:
        raise ConfigError(f"coverage={coverage}, batch={batch}: a share above 0 and below 1, and at least one image")
    targets = [images] if isinstance(images, (str, Path)) else images
    files = once_each(find_images([str(image) for image in targets]))
    return list(answer(asked, files, lambda *_: None, batch, coverage))


def train(*overrides: str, folder: PathLike | None = None, **options: Any) -> FinishedRun:
    """Train and evaluate once, as `python train.py` does with these `overrides`: `train("data=folder", freeze=80)`.

    `options` are those without a dot in their name. The run is in `folder`, else in `logs_dir/runs/<time>`; one that
    was stopped there is gone on with. Raises `ConfigError` and `FrostlineError` for what a person can mend.
    """
    from frostline.files import disk_in_a_line
    from frostline.runs.finished import read_run
    from frostline.training.recipe import train_once

    config = _composed(overrides, options)
    named = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    place = Path(config.logs_dir) / config.study / named if folder is None else Path(folder)
    with disk_in_a_line(place):
        train_once(config, place)
    return read_run(place)


def read_run(folder: PathLike) -> FinishedRun:
    """A finished run: `metrics`, `options`, and `predictions` by split, `test` if it was evaluated.

    Raises `FrostlineError` for a folder that holds none.
    """
    from frostline.runs import finished

    return finished.read_run(Path(folder))


def layer_table(model: str = "resnet101", unit: str = "layer") -> list[Layer]:
    """The layers of a backbone in the order in which `freeze` counts them, by `unit`: layer, weighted or stage.

    Raises `ConfigError` for a name that neither torchvision nor timm (as `timm/NAME`) knows.
    """
    from frostline.models import layer_tables
    from frostline.models.backbones import build_backbone

    return layer_tables.layer_table(model, build_backbone(model)[0], unit)


def split(*overrides: str, **options: Any) -> SplitData:
    """The images of a data set with patient or group, and split: `split("data=folder", "data.root=DIR").examples`.

    Takes what `train` takes. Raises `ConfigError` and `FrostlineError` for data that cannot be split.
    """
    from frostline.data.dataset import check_data, split_data

    config = _composed(overrides, options)
    check_data(config.data)
    return split_data(config.data, Path(config.logs_dir) / "cache")


def evaluate(
    true: Sequence[str],
    probabilities: np.ndarray | Mapping[str, Sequence[float]],
    patients: Sequence[Any] | None = None,
    *,
    classes: Sequence[str] | None = None,
    positive: str | None = "auto",
    images: Sequence[str] | None = None,
    name: str = "model",
) -> Evaluation:
    """The evidence for the predictions of any model.

    Args:
        true: class of every image, [N].
        probabilities: [N, C], or a column [N] for each class (a mapping, a data frame).
        patients: whose image each is, [N]; without them every image counts by itself, and intervals may be too narrow.
        classes: names of the C columns; not needed where these have names.
        positive: the class that must not be missed; `auto`: malignant where that is one; None: none.
        images: names, [N], by which models are compared; without them the order counts.
        name: what to call the model.

    Raises `ConfigError` for what is no probability, no class, or of another length.
    """
    from frostline.report.outside import evaluate_text, flat_metrics
    from frostline.runs.outside import outside_run

    columns, classes = _columns(probabilities, classes)
    names = None if patients is None else [None if p is None else str(p) for p in patients]
    run = outside_run([str(t) for t in true], columns, classes, names, images, positive, name)
    values = {key.removeprefix("test/"): value for key, value in flat_metrics(run).items()}
    return Evaluation(name, values, evaluate_text([run]), run)


def compare(*models: Evaluation | FinishedRun) -> Comparison:
    """Which of several models is better on the same test images, and whether that is shown.

    Evaluations, or finished runs whose test set was evaluated; of both together the evaluation's `images` are the
    paths in the run's predictions.csv. Raises `FrostlineError` for other images or classes.
    """
    from frostline.report.compare import compare_runs, compare_text
    from frostline.report.outside import evaluate_text
    from frostline.runs.outside import together

    from_elsewhere = [isinstance(model, Evaluation) for model in models]
    runs = [m.run if isinstance(m, Evaluation) else _by_path(m) if any(from_elsewhere) else m for m in models]
    if len(runs) < 2:
        raise FrostlineError("frostline.compare takes two models or more")
    outside = all(from_elsewhere)
    if outside:
        together(runs)
    pairs = compare_runs(runs, "test")
    text = evaluate_text(runs) if outside else compare_text(runs, pairs, "test")
    return Comparison(text, {(str(runs[p.first].folder), str(runs[p.second].folder)): p.shown for p in pairs})


def _columns(probabilities: Any, classes: Sequence[Any] | None) -> tuple[np.ndarray, list[str]]:
    """Probabilities [N, C] of an array, a mapping or a data frame, and the names of their columns."""
    try:
        if isinstance(probabilities, np.ndarray):
            if classes is None:
                raise ConfigError("classes: name the columns of probabilities")
            return probabilities.astype(float), [str(name) for name in classes]
        if not hasattr(probabilities, "keys"):
            raise ConfigError("probabilities: an array [N, C], or a column for each class")
        keys = {str(key): key for key in probabilities.keys()}  # noqa: SIM118  # a data frame's
        names = [*keys] if classes is None else [str(name) for name in classes]
        if unknown := [name for name in names if name not in keys]:
            raise ConfigError(f"classes: {', '.join(unknown)} is no column of probabilities ({', '.join(keys)})")
        return np.stack([np.asarray(probabilities[keys[name]], float) for name in names], axis=1), names
    except (TypeError, ValueError) as error:
        raise ConfigError(f"probabilities: are no numbers in columns of one length ({error})") from None


def _by_path(run: FinishedRun) -> FinishedRun:
    """The run with images that are told by their paths, as those of predictions from elsewhere are."""
    predictions = {
        split: replace(p, examples=tuple(replace(e, sha256=e.path) for e in p.examples)).by_checksum()
        for split, p in run.predictions.items()
    }
    return replace(run, predictions=predictions)


def _composed(overrides: Sequence[str], options: Mapping[str, Any]) -> RunConfig:
    from frostline.config.messages import explain

    try:
        return compose_config([*overrides, *(f"{name}={_plain(value)}" for name, value in options.items())])
    except FrostlineError:
        raise
    except Exception as error:  # Hydra's own, of what it cannot parse
        raise ConfigError(explain(error)) from None


def _plain(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
