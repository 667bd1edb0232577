"""What `conf/` offers: groups of choices, one file each, and the page of --help."""

from __future__ import annotations

from pathlib import Path

from frostline.config.options import list_options
from frostline.config.schema import RunConfig

_PACKAGED = Path(__file__).parents[1] / "conf"  # where a wheel carries it
IS_CHECKOUT = not _PACKAGED.is_dir()
CONF_DIR = Path(__file__).parents[3] / "conf" if IS_CHECKOUT else _PACKAGED


SEARCH_OPTIONS = {
    "hydra.sweeper.n_trials": ("a whole number", "trials of a search; a grid is all of its cells"),
    "hydra.sweeper.n_jobs": ("a whole number", "trials at a time"),
    "hydra.sweeper.pruner": ("none, median, hyperband, halving, patience, threshold", "which trials end early"),
    "hydra.sweeper.start_from": ("a study or null", "whose best settings are taken over"),
    "hydra.sweeper.max_failure_rate": ("a number 0 to 1", "share of failed trials that ends a study"),
    "hydra.sweeper.storage": ("an address", "database of the studies"),
    "hydra.sweeper.sampler.seed": ("a whole number", "seed of the sampler"),
}
"""Options of studies by full name, as `options.list_options` lists those of a run."""


def list_groups() -> list[str]:
    """Names of the groups of choices in `conf/`."""
    return sorted(folder.name for folder in CONF_DIR.iterdir() if folder.is_dir() and folder.name != "hydra")


def choices_of(group: str) -> list[str]:
    """The choices of a group of `conf/`."""
    return sorted(file.stem for file in (CONF_DIR / group).glob("*.yaml"))


def help_page() -> str:
    """What --help prints: choices and options, a line each."""
    lines = [
        "frostline: fine-tune a backbone with its first N layers frozen, and say how sure one can be",
        "",
        "  python train.py                                        the demo: synthetic CT, random weights",
        "  python train.py data=iqothnccd data.root=DIR           the published data set, ImageNet weights",
        "  python train.py -m 'freeze=range(10,150,10)'           a study: one trial for each value",
        "  python train.py -m hparams_search=phase1               a study: optimiser, learning rate, batch size",
        "  python train.py -m hparams_search=phase2               a study: freezing depth, with phase 1's settings",
        "  python train.py resume=DIR                             go on with a run that was stopped",
        "",
        "Choices (one file each in conf/):",
        *(f"  {group + '=':<16}{', '.join(choices_of(group))}" for group in list_groups()),
        "",
        "Options:",
    ]
    for name, (allowed, meaning) in list_options(RunConfig).items():
        lines.append(f"  {name:<24} {meaning} [{allowed}]")
    lines += ["", "Options of studies, with -m (docs/searching.md):"]
    for name, (allowed, meaning) in SEARCH_OPTIONS.items():
        lines.append(f"  {name:<30} {meaning} [{allowed}]")
    return "\n".join(lines).replace("$", "$$") + "\n"
