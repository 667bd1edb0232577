"""Plans of small studies, for tests."""

from __future__ import annotations

from dataclasses import replace

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from frostline.search.study import Plan

DEPTHS = list(range(10, 150, 10))
GRID = Plan(
    name="depths",
    objective="val/acc",
    space={"freeze": IntDistribution(10, 140, step=10)},
    cells=[{"freeze": depth} for depth in DEPTHS],
    trials=len(DEPTHS),
    pruner={"name": "none", "options": {}},
    margin=0.02,
    fixed={"optimizer.lr": 1e-4, "model.name": "resnet18"},
    data="0123",
    first=[],
)
DRAWN = replace(
    GRID,
    name="drawn",
    space={
        "optimizer": CategoricalDistribution(["adam", "sgd"]),
        "optimizer.lr": FloatDistribution(1e-5, 1e-3, log=True),
    },
    cells=None,
    trials=5,
)
