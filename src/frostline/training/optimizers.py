"""Optimisers, learning rate schedules and losses, built from the names and options that config.py lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn, optim
from torch.optim import lr_scheduler

from frostline.config.checks import check_options
from frostline.config.choices import OPTIMIZERS, SCHEDULERS, Choice
from frostline.config.schema import OptimizerConfig, SchedulerConfig
from frostline.errors import ConfigError

Groups = Sequence[tuple[float, Sequence[nn.Parameter]]]


def build_optimizer(
    groups: Groups,
    name: str,
    lr: float,
    weight_decay: float = 0.0,
    options: Mapping[str, Any] | None = None,
) -> optim.Optimizer:
    """Build the optimiser of groups of parameters, each with its factor on the learning rate.

    Raises `ConfigError` for a wrong name or option.
    """
    choice = _look_up(OPTIMIZERS, "optimizer", name, options)
    trained = [{"params": list(params), "lr": lr * factor} for factor, params in groups]
    arguments = {"lr": lr, "weight_decay": weight_decay}
    optimizer: optim.Optimizer = _build("optimizer", name, getattr(optim, choice.torch), trained, arguments, options)
    return optimizer


def build_scheduler(
    optimizer: optim.Optimizer, name: str, total_steps: int, options: Mapping[str, Any] | None = None
) -> tuple[Any, str] | None:
    """Build the schedule over `total_steps` batches: it and its interval (`step`, `epoch`), None for constant."""
    choice = _look_up(SCHEDULERS, "scheduler", name, options)
    if not choice.torch:
        return None
    by_batch: dict[str, dict[str, Any]] = {
        "cosine": {"T_max": total_steps},
        "onecycle": {"max_lr": [group["lr"] for group in optimizer.param_groups], "total_steps": total_steps},
    }
    build = getattr(lr_scheduler, choice.torch)
    scheduler = _build("scheduler", name, build, optimizer, by_batch.get(name, {}), options)
    return scheduler, "step" if name in by_batch else "epoch"


def try_values(optimizer: OptimizerConfig, scheduler: SchedulerConfig) -> None:
    """Raise `ConfigError` for values that torch refuses (a negative eps), before minutes go into the data."""
    o, s = optimizer, scheduler
    built = build_optimizer([(1.0, [nn.Parameter(torch.zeros(1))])], o.name, o.lr, o.weight_decay, o.options)
    build_scheduler(built, s.name, 10, s.options)


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


def _look_up(table: Mapping[str, Choice], section: Section, name: str, options: Mapping[str, Any] | None) -> Choice:
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
