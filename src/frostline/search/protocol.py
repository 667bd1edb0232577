"""The whole study: phase 1, phase 2, the final training for several seeds, and one look at the test set.

Each step is a multirun of train.py in a process of its own, so each goes on where it was when all of this is called
again.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from frostline.config.compose import compose_config
from frostline.config.messages import COMMAND, child_environment
from frostline.config.schema import RunConfig
from frostline.installation import CONF_DIR
from frostline.models.freezing import check_depths

FOLDS = 5
ENOUGH = 10  # groups of a class in validation, from which one split is left to decide
PARTS = (("val",), ("train", "val"))  # validation, and all outside of the test set


@dataclass(frozen=True)
class Phases:
    """How much of each phase."""

    seeds: int
    """Of the final training."""
    trials: int | None
    """Of phase 1; None: as conf/ says."""
    depths: str | None
    """Of phase 2, as an override gives them; None: as conf/ says."""
    repeats: int
    """Seeds of every depth in phase 2."""
    margin: float
    """How far behind the best a depth may be and still be no worse, 0..1."""
    folds: int | None
    """On which every setting of both phases is scored, beside the test set; 0: one split; None: as groups ask for."""


def run_protocol(name: str, overrides: Sequence[str], phases: Phases, logs_dir: str) -> int:
    """Run what is missing of the three steps of study `name`; returns the exit code of the last one begun.

    Raises `ConfigError` for a depth that the network does not have, before hours are spent on phase 1.
    """
    depths = phases.depths
    default = OmegaConf.load(CONF_DIR / "hparams_search" / "phase2.yaml").hydra.sweeper.params.freeze
    configs = [compose_config([*overrides, f"freeze={depth}"]) for depth in values_of("freeze", depths or default)]
    check_depths((c.model.name, c.freeze, c.freeze_unit) for c in configs)
    folds = _choose_folds([*overrides, f"logs_dir={logs_dir}"], phases.folds)
    one, two, final = f"{name}-phase1", f"{name}-phase2", f"{name}-final"
    count = [] if phases.trials is None else [f"hydra.sweeper.n_trials={phases.trials}"]
    grid = [f"hydra.sweeper.margin={phases.margin}", *([] if depths is None else [f"freeze={depths}"])]
    first = 1 + max(_seeds_of(overrides))  # what chose the settings has no say in the depth
    grid += [f"seed=range({first},{first + phases.repeats})" if phases.repeats > 1 else f"seed={first}"]
    steps = (
        ("phase 1: optimiser, learning rate, batch size", [f"study={one}", "hparams_search=phase1", *count, *folds]),
        (
            "phase 2: number of frozen layers",
            [f"study={two}", "hparams_search=phase2", f"hydra.sweeper.start_from={one}", *grid, *folds],
        ),
        (
            f"final training, seeds {', '.join(map(str, range(phases.seeds)))}, each evaluated once on the test set",
            [f"study={final}", f"--config-dir={logs_dir}", f"+{two}=best", f"seed=range({phases.seeds})", "test=true"],
        ),
    )
    for i, (what, arguments) in enumerate(steps, start=1):
        print(f"\n=== {i} of {len(steps)}: {what} ===\n", flush=True)
        code = run_multirun([*overrides, f"logs_dir={logs_dir}", *arguments])
        if code:
            return code
    print(f"\nthe whole study on one page: frostline report {logs_dir if logs_dir != 'logs' else name}")
    return 0


def _choose_folds(overrides: Sequence[str], wanted: int | None) -> list[str]:
    """The options that score settings on folds; none where one split has groups enough, or folds are given."""
    if wanted == 0 or any(o.startswith(("data.val_fold=", "data.fold=")) for o in overrides):
        return []
    count = wanted
    if count is not None:
        compose_config([*overrides, f"data.folds={count}", "data.val_fold=0"])
    if count is None:
        from frostline.data.dataset import split_data

        config = compose_config(overrides)
        if config.trainer.monitor != "none" or config.scheduler.name == "plateau":
            return []  # what validation has a say in cannot be scored by it
        data = split_data(config.data, Path(config.logs_dir) / "cache")
        groups = {
            name: [len({e.group for e in data.examples if e.label == name and e.split in splits}) for splits in PARTS]
            for name in data.task.classes
        }
        name = min(groups, key=lambda name: groups[name][0])
        count = min(FOLDS, *(outside for _, outside in groups.values()))
        if groups[name][0] >= ENOUGH or count < 2:
            return []
        print(
            f"folds   validation would have {groups[name][0]} groups of {name}: every setting is scored on {count} "
            "folds of all images outside the test set (--folds 0: on one split)",
            flush=True,
        )
    return [f"data.folds={count}", f"data.val_fold=range({count})"]


def _seeds_of(overrides: Sequence[str]) -> list[int]:
    """The seeds of phase 1."""
    given = [o.partition("=")[2] for o in overrides if o.startswith("seed=")]
    return [int(seed) for seed in values_of("seed", given[-1])] if given else [RunConfig(freeze=0).seed]


def values_of(option: str, given: str) -> list[str]:
    """The values that Hydra makes of `0,40` or `range(10,150,10)`."""
    override = OverridesParser.create().parse_override(f"{option}={given}")
    return [str(v) for v in override.sweep_iterator()] if override.is_sweep_override() else [given]


def run_multirun(arguments: Sequence[str]) -> int:
    """`python train.py -m` with these options in a process of its own; returns its exit code."""
    flags = [a for a in arguments if a.startswith("--")]  # argparse takes them before options only
    options = [a for a in arguments if a not in flags]
    command = [sys.executable, "-m", "frostline.train", "-m", *flags, *options]
    typed = {COMMAND: shlex.join(["frostline", *sys.argv[1:]])}
    process = subprocess.Popen(command, env=child_environment() | typed)
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # a terminal's Ctrl-C goes to both, and that one says how to go on
                continue
    finally:
        signal.signal(signal.SIGTERM, before)
