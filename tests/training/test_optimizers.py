"""Optimisers, schedules and losses: what the config says reaches torch, and what it cannot say is refused."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.optim import lr_scheduler

from frostline.config.choices import OPTIMIZERS, SCHEDULERS
from frostline.config.compose import compose_config
from frostline.errors import ConfigError
from frostline.installation import CONF_DIR
from frostline.training.optimizers import build_loss, build_optimizer, build_scheduler

KERAS = {  # what Keras 3 has where torch has something else
    "adam": {"eps": 1e-7, "betas": (0.9, 0.999)},
    "adamax": {"eps": 1e-7, "betas": (0.9, 0.999)},
    "adamw": {"eps": 1e-7, "betas": (0.9, 0.999)},
    "rmsprop": {"eps": 1e-7, "alpha": 0.9, "momentum": 0, "centered": False},
    "sgd": {"momentum": 0.9},
}
CLASS = {"adam": optim.Adam, "adamax": optim.Adamax, "adamw": optim.AdamW, "rmsprop": optim.RMSprop, "sgd": optim.SGD}


def parameter() -> nn.Parameter:
    return nn.Parameter(torch.tensor([1.0, -2.0]))


def conf(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF_DIR / group).glob("*.yaml"))


def test_tables_and_conf_offer_the_same_names() -> None:
    assert conf("optimizer") == sorted(OPTIMIZERS)
    assert conf("scheduler") == sorted(SCHEDULERS)


def test_every_option_that_is_offered_is_one_of_torchs() -> None:
    for table, where in ((OPTIMIZERS, optim), (SCHEDULERS, lr_scheduler)):
        for name, choice in table.items():
            have = inspect.signature(getattr(where, choice.torch)).parameters if choice.torch else {}
            assert set(choice.options) <= set(have), name


@pytest.mark.parametrize("name", conf("optimizer"))
def test_the_constants_of_conf_reach_torch_and_a_step_goes_downhill(name: str) -> None:
    c = compose_config([f"optimizer={name}", "optimizer.lr=0.01"]).optimizer
    p = parameter()
    optimizer = build_optimizer([(1.0, [p])], c.name, c.lr, c.weight_decay, c.options)
    assert type(optimizer) is CLASS[name]
    (group,) = optimizer.param_groups
    assert group["params"] == [p]
    assert {key: group[key] for key in KERAS[name]} == KERAS[name]
    assert group["lr"] == 0.01
    assert group["weight_decay"] == (0.01 if name == "adamw" else 0)
    for _ in range(3):
        optimizer.zero_grad()
        (p**2).sum().backward()
        optimizer.step()
    assert (p.abs() < torch.tensor([1.0, 2.0])).all()


def test_the_default_is_the_reports_best() -> None:
    config = compose_config(["data=folder", "data.root=."])
    assert (config.optimizer.name, config.optimizer.lr, config.data.batch_size) == ("adamax", 8.7e-5, 16)
    assert (config.freeze, config.model.name, config.model.weights) == (80, "resnet101", "imagenet")
    assert config.data.image_size == 224


@pytest.mark.parametrize("lr", [8.7e-5, 0.01])
def test_adamax_moves_as_keras_moves(lr: float) -> None:
    """Keras: x -= lr / (1 - b1^t) * m / (u + eps), u = max(b2 u, |g|); worked out here for two gradients."""
    c = compose_config([f"optimizer.lr={lr}"]).optimizer
    p = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = build_optimizer([(1.0, [p])], c.name, c.lr, c.weight_decay, c.options)
    x, m, u = 1.0, 0.0, 0.0
    for t, g in enumerate((3e-7, -2e-7), start=1):  # so small that epsilon is felt
        p.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
        m, u = 0.9 * m + 0.1 * g, max(0.999 * u, abs(g))
        x -= lr / (1 - 0.9**t) * m / (u + 1e-7)
    assert p.item() == pytest.approx(x, abs=lr * 1e-3)  # torch has its epsilon inside the maximum


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("lion", 0.1), r"^optimizer.name=lion: must be one of adam, adamax, rmsprop, adamw, sgd$"),
        (
            ("adamax", 0.1, 0.0, {"epsilon": 1}),
            r"^optimizer.options.epsilon=1: adamax has no such option, it has betas",
        ),
        (
            ("sgd", 0.1, 0.0, {"eps": 1e-7}),
            r"sgd has no such option, .*\(optimizer=sgd brings its own; a search .*only_if\)$",
        ),
        (("adam", 0.1, 0.0, {"eps": "small"}), r"^optimizer.options.eps=small: must be a number"),
        (("adam", 0.1, 0.0, {"eps": -1.0}), r"^optimizer.options=.*: adam does not take them \(Invalid epsilon"),
        (("adam", 0.1, 0.0, {"betas": [0.9]}), r"^optimizer.options=.*adam does not take them"),
    ],
)
def test_an_optimiser_that_cannot_be_is_told_in_a_line(arguments: tuple[Any, ...], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as error:
        build_optimizer([(1.0, [parameter()])], *arguments)
    assert "\n" not in str(error.value)


def rates(name: str, steps: int, **options: Any) -> list[float]:
    """The learning rate at the start of each of `steps` steps, from 0.1."""
    optimizer = optim.SGD([parameter()], lr=0.1, momentum=0.9)
    built = build_scheduler(optimizer, name, steps, options)
    assert built is not None
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        built[0].step()
    return seen


def test_schedules_move_the_rate_as_they_say() -> None:
    assert rates("cosine", 5) == pytest.approx([0.1 * (1 + math.cos(math.pi * t / 5)) / 2 for t in range(5)])
    cycle = rates("onecycle", 20)
    assert cycle[0] == pytest.approx(0.1 / 25)
    assert max(cycle) == pytest.approx(0.1)
    assert cycle.index(max(cycle)) == 5
    assert rates("step", 5, step_size=2, gamma=0.5) == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025])


def test_plateau_waits_for_patience_before_it_lowers_the_rate() -> None:
    optimizer = optim.SGD([parameter()], lr=0.1)
    built = build_scheduler(optimizer, "plateau", 10, {"factor": 0.5, "patience": 1})
    assert built is not None
    scheduler, interval = built
    assert isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
    assert interval == "epoch"
    seen = []
    for loss in (1.0, 1.0, 1.0):
        scheduler.step(loss)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == [0.1, 0.1, 0.05]


def test_a_constant_rate_needs_no_schedule() -> None:
    assert build_scheduler(optim.SGD([parameter()], lr=0.1), "constant", 10) is None


@pytest.mark.parametrize("name", conf("scheduler"))
def test_every_schedule_of_conf_is_built(name: str) -> None:
    c = compose_config([f"scheduler={name}"]).scheduler
    built = build_scheduler(optim.SGD([parameter()], lr=0.1, momentum=0.9), c.name, 10, c.options)
    assert (built is None) == (name == "constant")
    assert built is None or built[1] == ("step" if name in ("cosine", "onecycle") else "epoch")


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("warm", {}, r"^scheduler.name=warm: must be one of constant, cosine, onecycle, step, plateau$"),
        ("cosine", {"t_max": 3}, r"^scheduler.options.t_max=3: cosine has no such option, it has eta_min "),
        ("constant", {"gamma": 1}, r"^scheduler.options.gamma=1: constant has no such option, it has none "),
        ("step", {}, r"^scheduler.options=\{\}: step does not take them \(.*step_size"),
        ("onecycle", {"pct_start": 2.0}, r"^scheduler.options=.*: onecycle does not take them"),
    ],
)
def test_a_schedule_that_cannot_be_is_told_in_a_line(name: str, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        build_scheduler(optim.SGD([parameter()], lr=0.1, momentum=0.9), name, 10, options)


LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 0.0, 0.0], [-3.0, 1.0, 4.0]])
TARGETS = torch.tensor([0, 2, 1])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 2.0, 0.5])])
def test_focal_loss_without_focus_is_cross_entropy(smoothing: float, weight: torch.Tensor | None) -> None:
    focal = build_loss("focal", smoothing, gamma=0.0, weight=weight)(LOGITS, TARGETS)
    each = nn.CrossEntropyLoss(weight=weight, label_smoothing=smoothing, reduction="none")(LOGITS, TARGETS)
    torch.testing.assert_close(focal, each.mean())
    if weight is None:
        torch.testing.assert_close(focal, build_loss("cross_entropy", smoothing)(LOGITS, TARGETS))


def test_focal_loss_of_an_undecided_prediction_is_worked_out_by_hand() -> None:
    """p = 1/3: (2/3)^2 ln 3."""
    loss = build_loss("focal", gamma=2.0)(torch.zeros(1, 3), torch.tensor([1]))
    assert loss.item() == pytest.approx(4 / 9 * math.log(3))


def test_class_weights_and_smoothing_reach_cross_entropy() -> None:
    """A weighted mean: -(ln p0 + 3 ln p1) / 4 over two images with p = 1/2 and p = 1/4."""
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    weighted = build_loss("cross_entropy", weight=torch.tensor([1.0, 3.0]))(logits, torch.tensor([0, 1]))
    assert weighted.item() == pytest.approx((math.log(2) + 3 * math.log(4)) / 4)
    smooth = build_loss("cross_entropy", label_smoothing=0.2)(logits[1:], torch.tensor([1]))
    assert smooth.item() == pytest.approx(0.9 * math.log(4) + 0.1 * math.log(4 / 3))
