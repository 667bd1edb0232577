"""Every option of a run: type, default, meaning, allowed values, and the checks that hold them.

Nothing heavy is imported here, and no Hydra: `compose.py` makes a `RunConfig` out of `conf/` and the command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from frostline.config.choices import OPTIMIZERS, SCHEDULERS
from frostline.config.options import MISSING, option


@dataclass(frozen=True)
class PhantomConfig:
    """The embedded data set: synthetic patients, several neighbouring slices each."""

    patients: int = option(64, "patients of each class", ge=3)
    slices: int = option(2, "neighbouring slices of each patient", ge=1)
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
    classes: list[str] = option([], "names of the classes, in order; empty: those of the folders")
    positive: str | None = option(
        "auto", "class that must not be missed; auto: malignant, where it is one; null: none, and no operating point"
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
    fold: int | None = option(None, "cross-validation: which fold is the test set, the next validation", ge=0)
    folds: int = option(5, "number of folds, when data.fold is given", ge=3)
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
        "flip", "random changes of training images: src/frostline/data/transforms.py"
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
    options: dict[str, Any] = option({}, "further arguments of the optimiser, e.g. {eps: 1e-7}")


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
        "val/acc", "what the study maximises, at the epoch with the highest val/acc"
    )


@dataclass(frozen=True)
class RunConfig:
    """One run: train, choose the best epoch on validation, evaluate once."""

    freeze: int = option(MISSING, "number of first layers to freeze, counted as freeze_unit says", ge=0)
    freeze_unit: Literal["layer", "weighted", "stage"] = option(
        "layer", "layer: Keras' indices, as the report counted; weighted: convolutions; stage: stages"
    )
    seed: int = option(0, "seed of initial weights, order of images, augmentation and dropout", ge=0, le=2**32 - 1)
    study: str = option("runs", "name that groups runs, in logs_dir and at the tracker")
    logs_dir: str = option("logs", "where run folders and caches go")
    test: bool = option(True, "evaluate the best epoch on the test set, once, at the end")
    sensitivity: float = option(0.95, "wanted share of images of data.positive found: chooses a threshold", gt=0, le=1)
    resume: str | None = option(None, "folder of a run that was stopped: goes on with it")
    preset: str = option("", "what to call this set of options in the first line; empty: nothing")
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    trial: TrialConfig = field(default_factory=TrialConfig)


NO_BEARING = (
    *("study", "logs_dir", "test", "sensitivity", "resume", "preset", "trial.", "logger."),
    *("data.positive", "data.root", "data.manifest", "data.workers", "data.cache_gb"),
    *("trainer.threads", "trainer.progress", "trainer.checkpoint_seconds", "trainer.accelerator"),
)
"""Beginnings of the options that do not bear on what a training comes to."""
