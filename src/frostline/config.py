"""Every option of a run: type, default, meaning, allowed values; and the one conversion from Hydra to `RunConfig`.

Nothing heavy is imported here, so that a wrong option is told in a second.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]  # it ships no types

CLASSES = ("benign", "malignant", "normal")
CONF_DIR = Path(__file__).parents[2] / "conf"
TRUSTED = ["logging.FileHandler", "frostline.progress.ScreenHandler"]  # what conf/ may make Hydra build


_WANTS_TRACE = os.environ.get("HYDRA_FULL_ERROR") == "1"


class FrostlineError(Exception):
    """What a person can mend: shown as one line, without a stack trace."""

    exit_code = 1


class ConfigError(FrostlineError):
    """An option that cannot be: the message names the option, the value and what is allowed."""

    exit_code = 2


def option(default: Any, meaning: str, **limits: float) -> Any:
    """A dataclass field with its meaning and its limits: `ge`, `gt`, `le`, `lt`."""
    metadata = {"meaning": meaning, "limits": limits}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class PhantomConfig:
    """The embedded data set: synthetic patients, several neighbouring slices each."""

    patients: int = option(40, "patients of each class", ge=3)
    slices: int = option(3, "neighbouring slices of each patient", ge=1)
    size: int = option(128, "width and height of the pictures, pixels", ge=32)
    seed: int = option(0, "what the patients are drawn from", ge=0)


@dataclass(frozen=True)
class DataConfig:
    """Which pictures, how they are split, and how they reach the network."""

    name: Literal["phantom", "iqothnccd", "folder"] = option("phantom", "data set")
    root: str | None = option(None, "folder that holds one folder per class")
    folders: dict[str, str] = option(
        {}, "folder -> class, e.g. {Bengin cases: benign}; empty: folders named like the classes"
    )
    patient_pattern: str | None = option(
        None, "regular expression on the path below the root; its first group names the patient"
    )
    on_unreadable: Literal["stop", "skip"] = option("stop", "what a file that cannot be read does")
    window_center: float = option(-600.0, "DICOM only: centre of the window, HU")
    window_width: float = option(1500.0, "DICOM only: width of the window, HU", gt=0)
    split: Literal["grouped", "random", "manifest"] = option(
        "grouped", "grouped: near copies stay together; random: by image, leaks; manifest: from a CSV"
    )
    split_seed: int = option(0, "what the split is drawn from; the training seed does not move it", ge=0)
    manifest: str | None = option(None, "CSV with path, sha256, class, group, split, for data.split=manifest")
    train_fraction: float = option(0.70, "share of the images to train on", gt=0, lt=1)
    val_fraction: float = option(0.15, "share to choose the epoch by", gt=0, lt=1)
    test_fraction: float = option(0.15, "share that is looked at once, at the end", gt=0, lt=1)
    similarity: float = option(
        0.85, "correlation of 64x64 thumbnails from which two images are near copies", gt=0, le=1
    )
    image_size: int = option(224, "width and height that pictures are resized to, pixels", ge=32, le=2048)
    batch_size: int = option(16, "images a step", ge=1)
    augment: Literal["none", "flip", "light", "strong"] = option(
        "light", "random changes of training images: src/frostline/data/transforms.py"
    )
    balance: Literal["none", "class_weights", "sampler"] = option("none", "what evens out the classes in training")
    workers: int = option(0, "processes that load pictures; 0: the training process", ge=0)
    cache_gb: float = option(4.0, "memory for decoded pictures, GB; beyond it they are read anew each epoch", ge=0)
    phantom: PhantomConfig = field(default_factory=PhantomConfig)


@dataclass(frozen=True)
class ModelConfig:
    """Backbone, where its weights come from, and the head on it."""

    name: str = option("resnet101", "torchvision's name of the backbone")
    weights: str | None = option("imagenet", "imagenet, chest_ct, a file, or null for random weights")
    default_freeze: int = option(80, "what `freeze` is when it is not given, layers", ge=0)
    head_widths: list[int] = option([256], "widths of the hidden fully connected layers after global average pooling")
    dropout: float = option(0.3, "dropout before each fully connected layer of the head but the first", ge=0, lt=1)
    activation: Literal["relu", "gelu", "silu", "tanh"] = option("relu", "activation of the hidden layers")
    bn_momentum: float = option(
        0.01, "share of a batch in BatchNorm's running statistics (Keras 0.99 is 0.01)", gt=0, le=1
    )


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser, with the constants that its framework of origin uses."""

    name: Literal["adam", "adamax", "rmsprop", "adamw", "sgd"] = option("adamax", "optimiser")
    lr: float = option(8.7e-5, "learning rate", gt=0)
    weight_decay: float = option(0.0, "weight decay", ge=0)
    options: dict[str, Any] = option({}, "further arguments of the optimiser, e.g. {eps: 1e-7}")


@dataclass(frozen=True)
class SchedulerConfig:
    """How the learning rate moves."""

    name: Literal["constant", "cosine", "onecycle", "step", "plateau"] = option("constant", "schedule of the rate")
    options: dict[str, Any] = option({}, "arguments of torch's scheduler of that name")


@dataclass(frozen=True)
class LossConfig:
    """What is minimised."""

    name: Literal["cross_entropy", "focal"] = option("cross_entropy", "loss")
    label_smoothing: float = option(0.0, "label smoothing", ge=0, lt=1)
    gamma: float = option(2.0, "focal loss only: focusing parameter", ge=0)


@dataclass(frozen=True)
class TrainerConfig:
    """How long, on what, and in which numbers."""

    max_epochs: int = option(10, "epochs", ge=1)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", "auto: bfloat16 where the hardware has it; float16: on a GPU only"
    )
    memory_format: Literal["auto", "channels_last", "contiguous"] = option("auto", "layout of pictures in memory")
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = option("auto", "what to train on; auto: the fastest there is")
    gradient_clip: float = option(0.0, "largest norm of the gradient; 0: no limit", ge=0)
    patience: int = option(0, "epochs without a better val/acc before training stops; 0: never", ge=0)
    checkpoint_seconds: float = option(
        30.0, "time between checkpoints to resume from, seconds; 0: after every epoch", ge=0
    )
    threads: int = option(0, "processor threads of torch; 0: as many as there are cores", ge=0)
    progress: bool = option(True, "show a progress bar on a terminal")


@dataclass(frozen=True)
class LoggerConfig:
    """Where a run is tracked beside its folder."""

    name: Literal["wandb", "csv"] = option(
        "wandb", "wandb: Weights & Biases and the run folder; csv: the run folder alone"
    )
    mode: Literal["auto", "online", "offline"] = option("auto", "auto: online when a key is configured, else offline")
    project: str = option("frostline", "project at Weights & Biases")
    entity: str | None = option(None, "team or user at Weights & Biases; null: the key's own")
    tags: list[str] = option([], "tags of the run, e.g. [pilot]")
    timeout: float = option(30.0, "seconds to wait for the server before going on without it", gt=0)


@dataclass(frozen=True)
class RunConfig:
    """One run: train, choose the best epoch on validation, evaluate once."""

    freeze: int = option(MISSING, "number of first layers to freeze, counted as freeze_unit says", ge=0)
    freeze_unit: Literal["layer", "weighted", "stage"] = option(
        "layer", "layer: Keras' indices, as the report counted; weighted: convolutions; stage: stages"
    )
    seed: int = option(0, "seed of initial weights, order of images, augmentation and dropout", ge=0, le=2**32 - 1)
    study: str = option("runs", "name that groups runs, in logs_dir and at Weights & Biases")
    logs_dir: str = option("logs", "where run folders and caches go")
    test: bool = option(True, "evaluate the best epoch on the test set, once, at the end")
    resume: str | None = option(None, "folder of a run that was stopped: goes on with it")
    preset: str = option("", "what to call this set of options in the first line; empty: nothing")
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)


# What `optimizer.options` and `scheduler.options` may hold: of torch's arguments, those that change the training.
OPTIMIZER_OPTIONS = {
    "adam": ("betas", "eps", "amsgrad"),
    "adamax": ("betas", "eps"),
    "rmsprop": ("alpha", "eps", "momentum", "centered"),
    "adamw": ("betas", "eps", "amsgrad"),
    "sgd": ("momentum", "dampening", "nesterov"),
}
SCHEDULER_OPTIONS = {
    "constant": (),
    "cosine": ("eta_min",),
    "onecycle": ("pct_start", "div_factor", "final_div_factor", "three_phase", "cycle_momentum"),
    "step": ("step_size", "gamma"),
    "plateau": ("factor", "patience", "threshold", "cooldown", "min_lr"),
}


# --- from Hydra to RunConfig -----------------------------------------------------------------------------------------


def register_schema() -> None:
    """Tell Hydra the types of all options, the page of --help, and where a run's folder is."""
    store = ConfigStore.instance()
    store.store(name="frostline_schema", node=_writable(OmegaConf.structured(RunConfig)), replace=True)
    store.store(
        group="hydra/help", name="frostline", node={"app_name": "frostline", "template": _help_page()}, replace=True
    )
    OmegaConf.register_resolver("run_folder", _run_folder, replace=True)


def _writable(schema: DictConfig) -> DictConfig:
    """Frozen dataclasses give read-only nodes, which Hydra could not merge conf/ into."""
    schema._set_flag("readonly", None)
    for key in schema:
        node = schema._get_node(key)
        if isinstance(node, DictConfig):
            _writable(node)
            if OmegaConf.get_type(node) is dict:  # free keys, e.g. data.folders={Cysts: benign}
                node._set_flag("struct", False)
    return schema


def load_config(cfg: DictConfig) -> RunConfig:
    """Turn Hydra's composed config into a checked `RunConfig`; of a resumed run, the one that it was started with.

    Raises `ConfigError` for a value that cannot be.
    """
    config = _to_config(cfg)
    if config.resume is None:
        return config
    stored = read_config(Path(config.resume))
    _refuse_changes(config, stored, _task_overrides())
    return RunConfig(**{**_shallow(stored), "resume": config.resume})


def compose_config(overrides: Sequence[str]) -> RunConfig:
    """The `RunConfig` that `python train.py OVERRIDES` would run, for callers outside of Hydra."""
    register_schema()
    with initialize_config_dir(str(CONF_DIR), job_name="frostline"):
        return _to_config(compose("config", overrides=list(overrides)))


def read_config(run_dir: Path) -> RunConfig:
    """Read the config of a run folder. Raises `ConfigError` when there is none."""
    file = run_dir / "config.yaml"
    if not file.is_file():
        raise ConfigError(f"{run_dir} is no run folder: it has no config.yaml; give the folder that the run printed")
    try:
        return _to_config(OmegaConf.load(file))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"{file}: {explain(error)}") from None


def config_yaml(config: RunConfig) -> str:
    """The whole config as YAML, as `read_config` reads it."""
    return OmegaConf.to_yaml(OmegaConf.create(asdict(config)))


def _to_config(cfg: Any) -> RunConfig:
    values = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    config = OmegaConf.to_object(OmegaConf.merge(_writable(OmegaConf.structured(RunConfig)), values))
    assert isinstance(config, RunConfig)
    check_config(config)
    return config


def _shallow(config: Any) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in fields(config)}


def _task_overrides() -> list[str]:
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def _refuse_changes(given: RunConfig, stored: RunConfig, overrides: Sequence[str]) -> None:
    """A resumed run is the run it was: options given beside `resume` must be the ones it was started with."""
    now, then = _flatten(asdict(given)), _flatten(asdict(stored))
    for override in overrides:
        key = override.split("=", 1)[0].lstrip("+~")
        sets = [k for k in now if key == "experiment" or k == key or k.startswith(f"{key}.")]
        changed = [k for k in sets if now[k] != then.get(k) and k != "resume"]
        if changed:
            k = changed[0]
            raise ConfigError(
                f"{k}={now[k]} is not what this run was started with ({then.get(k)}): "
                "give resume alone, or start a new run without it"
            )


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(_flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def _run_folder(resume: str | None, logs_dir: str, study: str, now: str) -> str:
    if resume:
        return str(resume)
    folder = Path(logs_dir) / study / now
    return str(folder if not folder.exists() else folder.with_name(f"{folder.name}-{os.getpid()}"))


# --- checks ----------------------------------------------------------------------------------------------------------

_LIMITS = {"ge": (">=", float.__ge__), "gt": (">", float.__gt__), "le": ("<=", float.__le__), "lt": ("<", float.__lt__)}


def check_config(config: RunConfig) -> None:
    """Check every limit and every combination. Raises `ConfigError` at the first that does not hold."""
    _check_limits(config, "")
    data = config.data
    total = data.train_fraction + data.val_fraction + data.test_fraction
    if abs(total - 1) > 1e-6:
        raise ConfigError(
            f"data.train_fraction + data.val_fraction + data.test_fraction = {total:g}: they must add up to 1"
        )
    if data.name != "phantom":
        if data.root is None:
            raise ConfigError(
                f"data.root is not set: data={data.name} needs data.root=DIR, the folder with the classes"
            )
        if not Path(data.root).is_dir():
            raise ConfigError(f"data.root={data.root}: there is no such folder")
    if data.split == "manifest" and data.manifest is None:
        raise ConfigError("data.manifest is not set: data.split=manifest needs data.manifest=FILE, a CSV")
    if data.manifest is not None and not Path(data.manifest).is_file():
        raise ConfigError(f"data.manifest={data.manifest}: there is no such file")
    if data.manifest is not None and data.split != "manifest":
        raise ConfigError(
            f"data.manifest is given but data.split={data.split}: add data.split=manifest, or leave it out"
        )
    for folder, name in data.folders.items():
        if name not in CLASSES:
            raise ConfigError(f"data.folders: {folder} -> {name!r}: the classes are {', '.join(CLASSES)}")
    if data.patient_pattern is not None:
        try:
            groups = re.compile(data.patient_pattern).groups
        except re.error as error:
            raise ConfigError(f"data.patient_pattern={data.patient_pattern}: no regular expression ({error})") from None
        if groups < 1:
            raise ConfigError(
                f"data.patient_pattern={data.patient_pattern}: has no group; put brackets around what names the patient"
            )
    if not config.model.name:
        raise ConfigError("model.name is not set: model=torchvision needs model.name=NAME, for example densenet121")
    check_options("optimizer", config.optimizer.name, config.optimizer.options)
    check_options("scheduler", config.scheduler.name, config.scheduler.options)
    if any(width < 1 for width in config.model.head_widths):
        raise ConfigError(f"model.head_widths={config.model.head_widths}: every width must be >= 1")
    if not re.fullmatch(r"\w[\w.=,+-]*", config.study):
        raise ConfigError(
            f"study={config.study!r}: it names a folder: a letter or digit, then letters, digits and . _ - = , + only"
        )


def check_options(section: Literal["optimizer", "scheduler"], name: str, options: Mapping[str, Any]) -> None:
    """Check the free keys of `optimizer.options` or `scheduler.options`. Raises `ConfigError` for an unknown one."""
    known = (OPTIMIZER_OPTIONS if section == "optimizer" else SCHEDULER_OPTIONS)[name]
    for key, value in options.items():
        if key not in known:
            raise ConfigError(
                f"{section}.options.{key}={value}: {name} has no such option, it has {', '.join(known) or 'none'} "
                f"({section}={name} brings its own)"
            )
        if not all(isinstance(v, (int, float)) for v in (value if isinstance(value, (list, tuple)) else [value])):
            raise ConfigError(f"{section}.options.{key}={value}: must be a number, true or false, or a list of numbers")


def _check_limits(section: Any, prefix: str) -> None:
    for f in fields(section):
        value = getattr(section, f.name)
        if is_dataclass(value):
            _check_limits(value, f"{prefix}{f.name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            limits = f.metadata["limits"].items()
            if not math.isfinite(value) or not all(_LIMITS[name][1](float(value), float(at)) for name, at in limits):
                allowed, meaning = _options()[f"{prefix}{f.name}"]
                raise ConfigError(f"{prefix}{f.name}={value}: must be {allowed} ({meaning})")


# --- errors and help, for people -------------------------------------------------------------------------------------


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn the errors a person can mend into one line on stderr and an exit code; ours keep their stack trace.

    Around `@hydra.main` it takes the errors of composing, inside it those of the job; in a multirun the job's are left
    to the sweeper.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands its errors over in place of printing its own page
    job = HydraConfig.get() if HydraConfig.initialized() else None
    try:
        yield
    except (FrostlineError, HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        if type(error) is ValueError and "Config group override" not in str(error):
            raise  # Hydra has that one; all others are ours
        if _WANTS_TRACE or (job is not None and job.mode == RunMode.MULTIRUN):
            raise
        if job is not None:
            with suppress(OSError):  # only when empty: nothing has begun
                Path(job.runtime.output_dir).rmdir()
        known = isinstance(error, FrostlineError)
        sys.exit(_fail(str(error) if known else explain(error), getattr(error, "exit_code", ConfigError.exit_code)))
    except KeyboardInterrupt:
        sys.exit(_fail("stopped; go on with: python train.py resume=RUN_FOLDER", 130))


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def explain(error: BaseException) -> str:
    """One line for an error of Hydra, OmegaConf or YAML: the option, the value, what is allowed."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not to be read as option=value; a value with special characters goes in 'x=\"...\"'"
    several = re.search(r"(?:Ambiguous value for argument|Sweep parameters) '(.+)'", text)
    if several:
        return f"{several.group(1)}: several values, one run for each, need -m; a list is written [a,b]"
    unknown_choice = re.search(r"Could not find '([^']+)/([^'/]+)'", text)
    if unknown_choice:
        group, choice = unknown_choice.groups()
        choices = _choices(group)
        return f"{group}={choice}: {_nearest(choice, choices)}the choices are {', '.join(choices)}"
    if "Config group override must be" in text:
        return "a group takes one of its choices, no number and no null (for data, model, ...: python train.py --help)"

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__ or cause.__context__
    override = re.search(r"Error merging override (.+)|Could not override '([^']+)'", text)
    given = (override.group(1) or override.group(2)) if override else ""
    key = re.sub(r"\[.*", "", getattr(cause, "full_key", None) or given.split("=", 1)[0]).lstrip("+~")
    options = _options()
    if given.startswith("~"):
        return f"{given}: an option can be set, not taken away"
    if key in options and not isinstance(cause, InterpolationResolutionError):
        allowed, meaning = options[key]
        return f"{given or key}: must be {allowed} ({meaning})"
    if key and key not in options and "not in" in f"{text} {cause}":
        near = _nearest(key, [*options, *_groups()])
        return f"{given or key}: there is no option {key!r}; {near}python train.py --help lists them all"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _nearest(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    if not close:  # an option given without its section: bach_size is near data.batch_size
        tails = {name.rsplit(".", 1)[-1]: name for name in known}
        close = [tails[tail] for tail in get_close_matches(word.rsplit(".", 1)[-1], tails, n=1, cutoff=0.6)]
    return f"did you mean {close[0]!r}? " if close else ""


def _groups() -> list[str]:
    return sorted(folder.name for folder in CONF_DIR.iterdir() if folder.is_dir() and folder.name != "hydra")


def _choices(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF_DIR / group).glob("*.yaml"))


_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "list[int]": "a list of whole numbers",
    "list[str]": "a list of texts",
    "dict[str, str]": "a mapping of texts",
    "dict[str, Any]": "a mapping",
}


def _options(section: type = RunConfig, prefix: str = "") -> dict[str, tuple[str, str]]:
    """All options by their full name: (what is allowed, meaning)."""
    hints = get_type_hints(section)
    found: dict[str, tuple[str, str]] = {}
    for f in fields(section):
        if is_dataclass(hints[f.name]):
            found.update(_options(hints[f.name], f"{prefix}{f.name}."))
            continue
        kind = str(f.type).removesuffix(" | None")
        if kind.startswith("Literal"):
            allowed = "one of " + ", ".join(map(str, get_args(hints[f.name])))
        else:
            limits = " and ".join(f"{_LIMITS[name][0]} {at:.10g}" for name, at in f.metadata["limits"].items())
            allowed = _TYPES[kind] + (f" {limits}" if limits else "")
        found[f"{prefix}{f.name}"] = (allowed, f.metadata["meaning"])
    return found


def _help_page() -> str:
    lines = [
        "frostline: fine-tune a backbone with its first N layers frozen, and say how sure one can be",
        "",
        "  python train.py                                        the demo: synthetic CT, random weights",
        "  python train.py data=iqothnccd data.root=DIR           the published data set, ImageNet weights",
        "  python train.py -m 'freeze=range(10,150,10)'           one run for each value",
        "  python train.py resume=DIR                             go on with a run that was stopped",
        "",
        "Choices (one file each in conf/):",
        *(f"  {group + '=':<12}{', '.join(_choices(group))}" for group in _groups()),
        "",
        "Options:",
    ]
    for name, (allowed, meaning) in _options().items():
        lines.append(f"  {name:<24} {meaning} [{allowed}]")
    return "\n".join(lines).replace("$", "$$") + "\n"
