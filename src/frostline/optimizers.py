"""Optimisers and learning rate schedules: a name, torch's class, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import nn, optim
from torch.optim import lr_scheduler

from frostline.config import ConfigError, check_options


class OptimizerEntry(NamedTuple):
    """torch's class and one line on it."""

    build: Callable[..., optim.Optimizer]
    meaning: str


OPTIMIZERS = {
    "adam": OptimizerEntry(optim.Adam, "adaptive moments (Kingma and Ba 2015)"),
    "adamax": OptimizerEntry(optim.Adamax, "Adam with the infinity norm; the report's best"),
    "rmsprop": OptimizerEntry(optim.RMSprop, "gradient over its running root mean square (Hinton 2012)"),
    "adamw": OptimizerEntry(optim.AdamW, "Adam with decoupled weight decay (Loshchilov and Hutter 2019)"),
    "sgd": OptimizerEntry(optim.SGD, "stochastic gradient descent with momentum"),
}


def build_optimizer(
    params: Iterable[nn.Parameter],
    name: str,
    lr: float,
    weight_decay: float = 0.0,
    options: Mapping[str, Any] | None = None,
) -> optim.Optimizer:
    """Build the optimiser of those `params` that are trained. Raises `ConfigError` for a wrong name or option."""
    entry = _look_up(OPTIMIZERS, "optimizer", name, options)
    trained = [p for p in params if p.requires_grad]
    arguments = {"lr": lr, "weight_decay": weight_decay}
    optimizer: optim.Optimizer = _build("optimizer", name, entry.build, trained, arguments, options)
    return optimizer


class SchedulerEntry(NamedTuple):
    """torch's class (None: constant), when it steps, and one line on it."""

    build: Any
    interval: str
    meaning: str


SCHEDULERS = {
    "constant": SchedulerEntry(None, "epoch", "the learning rate stays"),
    "cosine": SchedulerEntry(
        lr_scheduler.CosineAnnealingLR, "step", "half a cosine down to 0 (Loshchilov and Hutter 2017)"
    ),
    "onecycle": SchedulerEntry(lr_scheduler.OneCycleLR, "step", "up to optimizer.lr and down again (Smith 2018)"),
    "step": SchedulerEntry(lr_scheduler.StepLR, "epoch", "times gamma every step_size epochs"),
    "plateau": SchedulerEntry(lr_scheduler.ReduceLROnPlateau, "epoch", "times factor when val/loss stops falling"),
}


def build_scheduler(
    optimizer: optim.Optimizer, name: str, lr: float, total_steps: int, options: Mapping[str, Any] | None = None
) -> tuple[Any, str] | None:
    """Build the schedule over `total_steps` batches: it and its interval (`step`, `epoch`), None for constant."""
    entry = _look_up(SCHEDULERS, "scheduler", name, options)
    if entry.build is None:
        return None
    lengths: dict[str, dict[str, Any]] = {
        "cosine": {"T_max": total_steps},
        "onecycle": {"max_lr": lr, "total_steps": total_steps},
    }
    return _build("scheduler", name, entry.build, optimizer, lengths.get(name, {}), options), entry.interval


def build_loss(
    name: str, label_smoothing: float = 0.0, gamma: float = 2.0, weight: torch.Tensor | None = None
) -> nn.Module:
    """Loss of logits [N, C] and classes [N]; `weight` [C] weighs the classes."""
    if name == "focal":
        return FocalLoss(gamma, label_smoothing, weight)
    return nn.CrossEntropyLoss(weight=weight, label_smoothing=label_smoothing)


class FocalLoss(nn.Module):
    """Cross entropy times (1 - p)^gamma, p the probability of the true class (Lin et al. 2017, arXiv:1708.02002)."""

    def __init__(self, gamma: float, label_smoothing: float = 0.0, weight: torch.Tensor | None = None) -> None:
        super().__init__()
        self.gamma = gamma
        self.cross_entropy = nn.CrossEntropyLoss(weight=weight, label_smoothing=label_smoothing, reduction="none")

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        p = logits.softmax(-1).gather(1, targets[:, None]).squeeze(1)
        loss: torch.Tensor = ((1 - p) ** self.gamma * self.cross_entropy(logits, targets)).mean()
        return loss


Section = Literal["optimizer", "scheduler"]


def _look_up(table: Mapping[str, Any], section: Section, name: str, options: Mapping[str, Any] | None) -> Any:
    if name not in table:
        raise ConfigError(f"{section}.name={name}: must be one of {', '.join(table)}")
    check_options(section, name, options or {})
    return table[name]


def _build(
    section: Section,
    name: str,
    build: Callable[..., Any],
    of: Any,
    arguments: Mapping[str, Any],
    options: Mapping[str, Any] | None,
) -> Any:
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in (options or {}).items()}
    try:
        return build(of, **arguments, **given)
    except (TypeError, ValueError, IndexError) as error:  # torch's own checks: a negative eps, a missing step_size
        raise ConfigError(f"{section}.options={given}: {name} does not take them ({error})") from None
