"""The checks that hold options: every limit, every combination."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from frostline.config.choices import OPTIMIZERS, SCHEDULERS
from frostline.config.options import LIMITS, list_options
from frostline.config.schema import DataConfig, RunConfig
from frostline.config.tables import MANIFEST_COLUMNS, read_table
from frostline.errors import ConfigError
from frostline.installation import install_command
from frostline.task import Task, choose_positive

STUDY_NAME = r"\w[\w.=,+-]*"


def check_tracker(config: RunConfig) -> None:
    """Raise `ConfigError` when the package of the tracker is missing: before a run, not when one is read."""
    name = config.logger.name
    if name in ("tensorboard", "mlflow") and find_spec(name) is None:
        raise ConfigError(f"logger={name}: not installed; {install_command(name)}")


def settled_split(data: DataConfig) -> Literal["auto", "grouped", "copies", "random", "folders", "manifest", "table"]:
    """What `data.split` comes to: `auto` is what the table says, else grouped. Raises `ConfigError` for a bad table."""
    if data.split != "auto":
        return data.split
    file = None if data.table is None else Path(data.table)
    has_splits = file is not None and file.is_file() and "split" in read_table(file, ["path"], ["split"]).columns
    return "table" if has_splits else "grouped"


def check_config(config: RunConfig) -> None:
    """Check every limit and every combination. Raises `ConfigError` at the first that does not hold."""
    check_limits(config, "")
    data = config.data
    total = data.train_fraction + data.val_fraction + data.test_fraction
    if abs(total - 1) > 1e-6:
        raise ConfigError(
            f"data.train_fraction + data.val_fraction + data.test_fraction = {total:g}: they must add up to 1"
        )
    if data.name == "phantom" and data.root is not None:
        raise ConfigError(
            f"data.root={data.root}: the demo draws its own images; yours are data=folder data.root={data.root}"
        )
    if data.name != "phantom":
        if data.root is None and data.table is None:
            raise ConfigError(
                f"data.root is not set: data={data.name} needs data.root=DIR, the folder with the classes"
            )
        if data.root is not None and not Path(data.root).is_dir():
            raise ConfigError(f"data.root={data.root}: there is no such folder")
    check_tables(data)
    check_patient_score(config)
    if data.split == "manifest" and data.manifest is None:
        raise ConfigError("data.manifest is not set: data.split=manifest needs data.manifest=FILE, a CSV")
    if data.fold is not None and data.split in ("manifest", "folders", "table"):
        what = {"manifest": "a manifest says its own split", "folders": "the folders are the split"}
        raise ConfigError(
            f"data.fold={data.fold}: {what.get(data.split, 'the table says its own split')}; leave out data.fold, or "
            f"draw folds with data.split=grouped"
        )
    for name in ("fold", "val_fold"):
        fold = getattr(data, name)
        if fold is not None and fold >= data.folds:
            raise ConfigError(f"data.{name}={fold}: must be below data.folds={data.folds}; folds count from 0")
    if data.fold is not None and data.folds < 3:
        raise ConfigError(f"data.folds={data.folds}: data.fold takes 3 or more: to test on, to validate, and to train")
    if data.val_fold is not None and config.trainer.monitor != "none":
        raise ConfigError(
            f"data.val_fold={data.val_fold} with trainer.monitor={config.trainer.monitor}: images that choose the "
            "epoch score it too well; leave out trainer.monitor, and the last epoch is kept"
        )
    if data.manifest is not None and not Path(data.manifest).is_file():
        raise ConfigError(f"data.manifest={data.manifest}: there is no such file")
    if data.manifest is not None and data.split != "manifest":
        raise ConfigError(
            f"data.manifest is given but data.split={data.split}: add data.split=manifest, or leave it out"
        )
    if data.classes:
        Task(tuple(data.classes), choose_positive(data.classes, data.positive))
        for folder, name in data.folders.items():
            if name not in data.classes:
                raise ConfigError(f"data.folders: {folder} -> {name!r}: the classes are {', '.join(data.classes)}")
    if data.patient_pattern is not None:
        try:
            groups = re.compile(data.patient_pattern).groups
        except re.error as error:
            raise ConfigError(f"data.patient_pattern={data.patient_pattern}: no regular expression ({error})") from None
        if groups < 1:
            raise ConfigError(
                f"data.patient_pattern={data.patient_pattern}: has no group; put brackets around what names the patient"
            )
    if config.sensitivity_confidence is not None and config.sensitivity == 1:
        raise ConfigError(
            "sensitivity=1 with sensitivity_confidence: no threshold is sure to miss none; take sensitivity=0.99"
        )
    if not config.model.name:
        raise ConfigError("model.name is not set: model=torchvision needs model.name=NAME, for example densenet121")
    for name in ("limit_train_batches", "limit_val_batches"):
        limit = getattr(config.trainer, name)
        if isinstance(limit, float) and limit > 1:
            raise ConfigError(
                f"trainer.{name}={limit}: a share of the batches is at most 1.0; a number of them is whole"
            )
    if config.trainer.patience and config.trainer.monitor == "none":
        raise ConfigError(
            f"trainer.patience={config.trainer.patience}: waits for a better epoch, and trainer.monitor=none knows of "
            "none: name what gets better, such as trainer.monitor=val/loss"
        )
    if data.val_fold is not None and config.scheduler.name == "plateau":
        raise ConfigError(
            f"data.val_fold={data.val_fold} with scheduler=plateau: it lowers the rate by the images that score the "
            "run; take scheduler=cosine, or constant"
        )
    if config.training.head_epochs >= config.trainer.max_epochs:
        raise ConfigError(
            f"training.head_epochs={config.training.head_epochs}: must be below trainer.max_epochs="
            f"{config.trainer.max_epochs}, or the layers behind freeze are never trained; for a head alone freeze all"
        )
    check_options("optimizer", config.optimizer.name, config.optimizer.options)
    check_options("scheduler", config.scheduler.name, config.scheduler.options)
    if any(width < 1 for width in config.model.head_widths):
        raise ConfigError(f"model.head_widths={config.model.head_widths}: every width must be >= 1")
    if not re.fullmatch(STUDY_NAME, config.study):
        raise ConfigError(
            f"study={config.study!r}: it names a folder: a letter or digit, then letters, digits and . _ - = , + only"
        )


def check_patient_score(config: RunConfig) -> None:
    """Raise `ConfigError` when the largest score is asked for where no class is positive, as far as classes are known.

    Those that the folders say are known when a run starts.
    """
    data = config.data
    none = data.positive is None or (data.classes and choose_positive(data.classes, data.positive) is None)
    if config.patient_score == "largest" and none:
        raise ConfigError(
            "patient_score=largest: takes the largest score of the class that must not be missed, and there is none: "
            "name it by data.positive=CLASS, or leave patient_score=mean"
        )


def check_tables(data: DataConfig) -> None:
    """Check the options that name a table, and what goes with them."""
    for name in ("table", "patients"):
        file = getattr(data, name)
        if file is not None and not Path(file).is_file():
            raise ConfigError(f"data.{name}={file}: there is no such file")
        if file is not None and data.name == "phantom":
            raise ConfigError(f"data.{name}={file}: the demo draws its own images; yours are data=folder data.root=DIR")
    if data.table is not None and data.folders:
        raise ConfigError("data.table is given, which says the classes of files, and data.folders too: leave one out")
    if data.split == "table" and data.table is None:
        raise ConfigError("data.table is not set: data.split=table needs data.table=FILE, a CSV with a column split")
    if data.subgroups and data.patients is None and data.table is None and data.manifest is None:
        raise ConfigError(
            f"data.subgroups={data.subgroups}: these are columns of a table: data.patients=FILE or data.table=FILE"
        )
    for name in data.subgroups:
        if name in MANIFEST_COLUMNS or data.subgroups.count(name) > 1:
            why = "is a column of every manifest" if name in MANIFEST_COLUMNS else "stands there twice"
            raise ConfigError(f"data.subgroups: {name} {why}: name columns such as scanner, sex or age, each once")
    if data.values_offset and data.values != "hu":
        raise ConfigError(f"data.values_offset={data.values_offset:g}: goes with data.values=hu")


def check_options(section: Literal["optimizer", "scheduler"], name: str, options: Mapping[str, Any]) -> None:
    """Check the free keys of `optimizer.options` or `scheduler.options`. Raises `ConfigError` for an unknown one."""
    known = (OPTIMIZERS if section == "optimizer" else SCHEDULERS)[name].options
    for key, value in options.items():
        if key not in known:
            raise ConfigError(
                f"{section}.options.{key}={value}: {name} has no such option, it has {', '.join(known) or 'none'} "
                f"({section}={name} brings its own; a search gives it to others alone by hydra.sweeper.only_if)"
            )
        if not all(isinstance(v, (int, float)) for v in (value if isinstance(value, (list, tuple)) else [value])):
            raise ConfigError(f"{section}.options.{key}={value}: must be a number, true or false, or a list of numbers")


def check_limits(section: Any, prefix: str) -> None:
    """Check every option of a section on its own. Raises `ConfigError` at the first that it does not allow."""
    for f in fields(section):
        value = getattr(section, f.name)
        if is_dataclass(value):
            check_limits(value, f"{prefix}{f.name}.")
        elif f.metadata.get("choices") and value not in f.metadata["choices"]:
            raise ConfigError(f"{prefix}{f.name}={value}: must be one of {', '.join(f.metadata['choices'])}")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            limits = f.metadata["limits"].items()
            if not math.isfinite(value) or not all(LIMITS[name][1](float(value), float(at)) for name, at in limits):
                allowed, meaning = list_options(type(section), prefix)[f"{prefix}{f.name}"]
                raise ConfigError(f"{prefix}{f.name}={value}: must be {allowed} ({meaning})")
