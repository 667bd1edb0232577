"""Every option of a run: type, default, meaning, allowed values, and the checks that hold them.

Nothing heavy is imported here, and no Hydra: `compose.py` makes a `RunConfig` out of `conf/` and the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from frostline.config.choices import MONITORS, OPTIMIZERS, SCHEDULERS
from frostline.config.options import MISSING, bears_on_result, option, section


@dataclass(frozen=True)
class PhantomConfig:
    """The embedded data set: synthetic patients, several neighbouring slices each."""

    patients: int = option(64, "patients of each class", ge=3)
    slices: int = option(2, "neighbouring slices of each patient", ge=1)
    size: int = option(128, "width and height of the images, pixels", ge=32)
    seed: int = option(0, "what the patients are drawn from", ge=0)


@dataclass(frozen=True)
class DataConfig:
    """Which images, how they are split, and how they reach the network."""

    name: Literal["phantom", "iqothnccd", "folder"] = option("phantom", "data set")
    root: str | None = option(None, "folder that holds one folder per class", bears=False)
    folders: dict[str, str] = option(
        {}, "folder -> class, e.g. {Bengin cases: benign}; empty: folders named like the classes"
    )
    classes: list[str] = option([], "names of the classes, in order; empty: those of the folders")
    positive: str | None = option(
        "auto",
        "class that must not be missed; auto: malignant, where it is one; null: none, and no operating point",
        bears=False,
    )
    table: str | None = option(
        None, "CSV in place of folders: path, class and, where it has them, patient and split", bears=False
    )
    patients: str | None = option(
        None, "CSV that says who is one patient: path, or a pattern such as cysts/P012_*, and patient", bears=False
    )
    subgroups: list[str] = option(
        [],
        "columns of data.patients, data.table or data.manifest by which results are told apart, e.g. [scanner,sex,age]",
        bears=False,
    )
    documented_patients: dict[str, int] = option(
        {}, "class -> patients that the publishers document, to set beside the groups", bears=False
    )
    patient_pattern: str | None = option(
        None, "regular expression on the path below the root; its first group names the patient"
    )
    series_similarity: float | None = option(
        0.35,
        "where no patient is known: neighbours in a numbered series this alike are one patient; null: ignore numbers",
        gt=0,
        le=1,
    )
    on_unreadable: Literal["stop", "skip"] = option("stop", "what a file that cannot be read does")
    values: Literal["auto", "grey", "hu"] = option(
        "auto", "what pixels of plain files mean; auto: HU where signed, float or marked so, grey elsewhere"
    )
    values_offset: float = option(0.0, "data.values=hu: what was added to HU on export, such as 1024 or 32768")
    dicom_keep: list[str] = option(
        [], "DICOM kept beside axial CT slices, by the kinds that frostline data counts, e.g. [derived, MR]"
    )
    window_center: float = option(-600.0, "HU only: centre of the window")
    window_width: float = option(1500.0, "HU only: width of the window", gt=0)
    split: Literal["auto", "grouped", "copies", "random", "folders", "manifest", "table"] = option(
        "grouped",
        "grouped: patients and near copies stay together; copies: near copies alone do, patients leak; random: by "
        "image, leaks; folders: as published, in train, "
        "val and test; manifest, table: as data.manifest or data.table says; auto: table where it says, else grouped",
    )
    split_seed: int = option(0, "what the split is drawn from; the training seed does not move it", ge=0)
    fold: int | None = option(None, "cross-validation: which fold is the test set, the next validation", ge=0)
    val_fold: int | None = option(
        None,
        "cross-validation beside a sealed test set: the test images are drawn first, of all others this fold is "
        "validation",
        ge=0,
    )
    folds: int = option(5, "number of folds of data.fold and data.val_fold", ge=2)
    manifest: str | None = option(
        None, "CSV with path, class, split and, if you like, sha256 and group, for data.split=manifest", bears=False
    )
    train_fraction: float = option(0.70, "share of the images to train on", gt=0, lt=1)
    val_fraction: float = option(0.15, "share to choose settings and threshold by", gt=0, lt=1)
    test_fraction: float = option(0.15, "share that is looked at once, at the end", gt=0, lt=1)
    similarity: float = option(
        0.85, "correlation of 64x64 thumbnails from which two images are near copies", gt=0, le=1
    )
    image_size: int = option(224, "width and height that images are resized to, pixels", ge=32, le=2048)
    batch_size: int = option(16, "images a step", ge=1)
    augment: Literal["none", "flip", "light", "strong"] = option(
        "flip", "random changes of training images: src/frostline/data/transforms.py"
    )
    balance: Literal["none", "class_weights", "sampler"] = option("none", "what evens out the classes in training")
    workers: int = option(0, "processes that load images; 0: the training process", bears=False, ge=0)
    cache_gb: float = option(
        4.0,
        "memory for decoded images that cannot be kept on disk, GB; beyond it they are read anew",
        bears=False,
        ge=0,
    )
    shared_cache_gb: float = option(
        10.0,
        "disk in logs_dir/cache, which all runs share, for decoded images and for what frozen layers make of them, "
        "GB each; a data set that takes more is kept in memory",
        bears=False,
        ge=0,
    )
    phantom: PhantomConfig = section(PhantomConfig)


@dataclass(frozen=True)
class ModelConfig:
    """Backbone, where its weights come from, and the head on it."""

    name: str = option("resnet101", "torchvision's name of the backbone, or timm's as timm/NAME")
    weights: str | None = option("imagenet", "imagenet, chest_ct, a file, or null for random weights")
    default_freeze: int = option(80, "what `freeze` is when it is not given, layers", ge=0)
    head_widths: list[int] = option([256], "widths of the hidden fully connected layers after global average pooling")
    dropout: float = option(0.3, "dropout before each fully connected layer of the head but the first", ge=0, lt=1)
    activation: Literal["relu", "gelu", "silu", "tanh"] = option("relu", "activation of the hidden layers")
    bn_momentum: float | None = option(
        None,
        "share of a batch in BatchNorm's running statistics; null: Keras' 0.01, but 0.1 for null and chest_ct weights",
        gt=0,
        le=1,
    )


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser, with the constants that its framework of origin uses."""

    name: str = option("adamax", "optimiser", choices=OPTIMIZERS)
    lr: float = option(8.7e-5, "learning rate", gt=0)
    weight_decay: float = option(0.0, "weight decay", ge=0)
    layer_decay: float = option(
        1.0, "factor on the learning rate of a stage, once for each stage from the head back; 1: all alike", gt=0, le=1
    )
    head_factor: float = option(1.0, "factor on the learning rate of the head", gt=0)
    options: dict[str, Any] = option({}, "further arguments of the optimiser, e.g. {eps: 1e-7}")


@dataclass(frozen=True)
class UnfreezingConfig:
    """When the layers behind `freeze` join the training."""

    head_epochs: int = option(0, "first epochs, in which the head learns alone", ge=0)
    stage_epochs: int = option(
        0, "epochs before one stage more joins, from the last down to `freeze`; 0: all at once", ge=0
    )


@dataclass(frozen=True)
class SchedulerConfig:
    """How the learning rate moves."""

    name: str = option("constant", "schedule of the rate", choices=SCHEDULERS)
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
    memory_format: Literal["auto", "channels_last", "contiguous"] = option("auto", "layout of images in memory")
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = option(
        "auto", "what to train on; auto: the fastest there is", bears=False
    )
    devices: int = option(
        1, "GPUs, or processes of the CPU, that train one run together, each on its share of every batch", ge=1
    )
    accumulate_grad_batches: int = option(1, "batches a step of the optimiser gathers gradients of", ge=1)
    limit_train_batches: int | float = option(1.0, "batches an epoch trains on: a number, or a share", gt=0)
    limit_val_batches: int | float = option(1.0, "batches that score an epoch: a number, or a share", gt=0)
    fast_dev_run: bool | int = option(
        False, "one epoch of one batch, or of so many, the test set left alone: shows that a run works", ge=0
    )
    deterministic: bool = option(False, "only algorithms that give the same on every call: slower on a GPU")
    gradient_clip: float = option(0.0, "largest norm of the gradient; 0: no limit", ge=0)
    monitor: str = option(
        "none",
        "what chooses the epoch; none: the last one is kept, so that validation images score a run they did not shape",
        choices=MONITORS,
    )
    averaging: Literal["none", "ema", "swa"] = option(
        "none",
        "weights that score and are kept; none: the last step's; ema: a moving average; swa: a mean of the last",
    )
    averaging_decay: float = option(0.99, "ema only: share of the average that a step keeps", gt=0, lt=1)
    averaging_from: float = option(0.5, "swa only: share of the training after which the mean begins", ge=0, lt=1)
    patience: int = option(0, "epochs without a better trainer.monitor before training stops; 0: never", ge=0)
    frozen_gb: float = option(
        4.0,
        "memory for what frozen layers make of the images, GB: computed once where that saves time, with the same "
        "result; 0: anew each time",
        bears=False,
        ge=0,
    )
    keep_state: bool = option(
        True, "a finished run keeps last.ckpt, from which resume gives it more epochs; trials never do", bears=False
    )
    checkpoint_seconds: float = option(
        30.0, "time between checkpoints to resume from, seconds; 0: after every epoch", bears=False, ge=0
    )
    threads: int = option(0, "processor threads of torch; 0: as many as there are cores", bears=False, ge=0)
    progress: bool = option(True, "show a progress bar on a terminal", bears=False)


@dataclass(frozen=True)
class LoggerConfig:
    """Where a run is tracked beside its folder."""

    name: Literal["wandb", "csv", "tensorboard", "mlflow"] = option(
        "wandb", "who is told beside the run folder, wandb being Weights & Biases; csv: nobody"
    )
    mode: Literal["auto", "online", "offline"] = option(
        "auto", "wandb, mlflow: auto is online when a key or MLFLOW_TRACKING_URI is set, else offline, in files"
    )
    project: str = option("frostline", "project at Weights & Biases; first word of the experiment at MLflow")
    entity: str | None = option(None, "team or user at Weights & Biases; null: the key's own")
    tags: list[str] = option([], "tags of the run, e.g. [pilot]")
    timeout: float = option(30.0, "seconds to wait for the tracker before going on without it", gt=0)


@dataclass(frozen=True)
class TrialConfig:
    """Which trial of which study a run is; the sweeper sets these."""

    number: int = option(-1, "number of the trial in its study; -1: the run is none", ge=-1)
    phase: str = option("", "which search it is part of, set by hparams_search")
    storage: str = option("", "database of the study, set by the sweeper")
    objective: Literal["val/acc", "val/balanced_acc"] = option(
        "val/acc", "what the study maximises, at the epoch that a run keeps"
    )


@dataclass(frozen=True)
class RunConfig:
    """One run: train, keep the epoch that `trainer.monitor` chooses, evaluate once."""

    freeze: int = option(MISSING, "number of first layers to freeze, counted as freeze_unit says", ge=0)
    freeze_unit: Literal["layer", "weighted", "stage"] = option(
        "layer", "layer: Keras' indices, as the report counted; weighted: convolutions; stage: stages"
    )
    seed: int = option(0, "seed of initial weights, order of images, augmentation and dropout", ge=0, le=2**32 - 1)
    study: str = option("runs", "name that groups runs, in logs_dir and at the tracker", bears=False)
    logs_dir: str = option("logs", "where run folders and caches go", bears=False)
    test: bool = option(True, "evaluate the network on the test set, once, at the end", bears=False)
    sensitivity: float = option(
        0.95, "wanted share of images of data.positive found: chooses a threshold", bears=False, gt=0, le=1
    )
    patient_score: Literal["mean", "largest"] = option(
        "mean",
        "a patient's probabilities out of the slices': their mean; largest: that of data.positive is the largest",
        bears=False,
    )
    sensitivity_confidence: float | None = option(
        None,
        "wanted share of repetitions in which the threshold keeps `sensitivity` on new images, e.g. 0.9; null: it is "
        "met on validation, and kept on new images by at most half of such thresholds",
        bears=False,
        gt=0,
        lt=1,
    )
    prevalence: float | None = option(
        None,
        "share of data.positive where the network would be used: PPV, NPV and net benefit are at it; null: that of "
        "the images",
        bears=False,
        gt=0,
        lt=1,
    )
    resume: str | None = option(None, "folder of a run that was stopped: goes on with it", bears=False)
    preset: str = option("", "what to call this set of options in the first line; empty: nothing", bears=False)
    data: DataConfig = section(DataConfig)
    model: ModelConfig = section(ModelConfig)
    optimizer: OptimizerConfig = section(OptimizerConfig)
    training: UnfreezingConfig = section(UnfreezingConfig)
    scheduler: SchedulerConfig = section(SchedulerConfig)
    loss: LossConfig = section(LossConfig)
    trainer: TrainerConfig = section(TrainerConfig)
    logger: LoggerConfig = section(LoggerConfig, bears=False)
    trial: TrialConfig = section(TrialConfig, bears=False)


@dataclass
class SearchConfig:
    """A study: how many trials, which end early, and where it is kept; `hydra.sweeper.` on the command line.

    Not frozen: Hydra merges `conf/` into it.
    """

    n_trials: int = option(20, "trials of a search; a grid is all of its cells", bears=False, ge=1)
    n_jobs: int | str = option(1, "trials at a time; auto: one for each GPU", bears=False, ge=1)
    params: dict[str, Any] = option({}, "what is searched, by option; set in files of hparams_search")
    only_if: dict[str, Any] = option(
        {}, "searched options that exist only with some values of others: {OPTION: {OTHER: [VALUE, ...]}}; set in files"
    )
    sampler: Any = option(MISSING, "what draws the settings; chosen by hydra/sweeper/sampler=NAME")
    direction: Literal["maximize"] = option("maximize", "a study maximises trial.objective")
    pruner: Literal["none", "median", "hyperband", "halving", "patience", "threshold"] = option(
        "none", "which trials end early"
    )
    pruner_options: dict[str, Any] = option({}, "options of pruners, by pruner; those of the chosen one count")
    start_from: str | None = option(None, "a study whose best settings are taken over")
    margin: float = option(
        0.02, "how far behind the best a setting may be and still be no worse, 0..1; a study keeps it", ge=0, lt=1
    )
    race: bool = option(
        False, "settings of a grid with several seeds that are shown worse than the best get no further trials"
    )
    max_failure_rate: float = option(0.25, "share of failed trials that ends a study", bears=False, ge=0, le=1)
    keep_checkpoints: int = option(
        1, "settings of a study, its best ones, whose trials keep model.ckpt; -1: all", bears=False, ge=-1
    )
    storage: str = option("sqlite:///${logs_dir}/studies.db", "address of the database of studies", bears=False)


PRIVATE = (
    *("logs_dir", "resume", "data.root", "data.table", "data.patients", "data.manifest"),
    *("data.folders", "data.patient_pattern"),
)
"""Options of a run that say where files are, or may name people: others are not told their values."""


def bearing(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of a run's options by full name, those that bear on what its training comes to."""
    return {name: value for name, value in options.items() if bears_on_result(RunConfig, name)}
