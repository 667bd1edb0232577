"""Optimisers and learning rate schedules by name, with torch's class and options; and what chooses the epoch."""

from __future__ import annotations

from typing import NamedTuple


class Choice(NamedTuple):
    """torch's class, those of its arguments that an option may set, and one line on it."""

    torch: str
    options: tuple[str, ...]
    meaning: str


OPTIMIZERS = {
    "adam": Choice("Adam", ("betas", "eps", "amsgrad"), "adaptive moments (Kingma and Ba 2015)"),
    "adamax": Choice("Adamax", ("betas", "eps"), "Adam with the infinity norm; the report's best"),
    "rmsprop": Choice("RMSprop", ("alpha", "eps", "momentum", "centered"), "running root mean square (Hinton 2012)"),
    "adamw": Choice("AdamW", ("betas", "eps", "amsgrad"), "decoupled weight decay (Loshchilov and Hutter 2019)"),
    "sgd": Choice("SGD", ("momentum", "dampening", "nesterov"), "stochastic gradient descent with momentum"),
}


ONECYCLE = ("pct_start", "div_factor", "final_div_factor", "three_phase", "cycle_momentum")


PLATEAU = ("factor", "patience", "threshold", "cooldown", "min_lr")


SCHEDULERS = {
    "constant": Choice("", (), "the learning rate stays"),
    "cosine": Choice("CosineAnnealingLR", ("eta_min",), "half a cosine down to 0 (Loshchilov and Hutter 2017)"),
    "onecycle": Choice("OneCycleLR", ONECYCLE, "up to optimizer.lr and down again (Smith 2018)"),
    "step": Choice("StepLR", ("step_size", "gamma"), "times gamma every step_size epochs"),
    "plateau": Choice("ReduceLROnPlateau", PLATEAU, "times factor when val/loss stops falling"),
}

MONITORS = {
    "none": "the last one",
    "val/acc": "the one of highest validation accuracy, of equal ones of lowest validation loss",
    "val/balanced_acc": "the one of highest balanced accuracy on validation, of equal ones of lowest validation loss",
    "val/loss": "the one of lowest validation loss",
}
"""By `trainer.monitor`: which epoch's weights a run keeps, in words."""
