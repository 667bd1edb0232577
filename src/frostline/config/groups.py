"""What may be chosen: groups of choices, one file each in `conf/` or in a directory of the user's, and --help."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # it ships no types
from yaml import YAMLError

from frostline.config.options import list_options
from frostline.config.schema import RunConfig, SearchConfig
from frostline.installation import CONF_DIR, PROGRAM

SEARCH_PREFIX = "hydra.sweeper."


def all_options() -> dict[str, tuple[str, str]]:
    """Options of runs and of studies by full name: (what is allowed, meaning)."""
    return list_options(RunConfig) | list_options(SearchConfig, SEARCH_PREFIX)


def config_dirs() -> list[Path]:
    """`conf/`, and the user's own that the command line names, by --config-dir and hydra.searchpath."""
    own: list[str] = []
    words = iter(sys.argv[1:])
    for word in words:
        name, _, value = word.partition("=")
        if name in ("--config-dir", "-cd"):
            own.append(value or next(words, ""))
        elif name.lstrip("+") == "hydra.searchpath":
            with suppress(YAMLError):  # Hydra says so itself
                listed = yaml.safe_load(value)
                own += [str(e).removeprefix("file://") for e in (listed if isinstance(listed, list) else [listed])]
    return [CONF_DIR, *(Path(folder) for folder in own if folder and Path(folder).is_dir())]


def list_groups() -> list[str]:
    """Names of the groups of choices."""
    folders = {folder for directory in config_dirs() for folder in directory.iterdir() if folder.is_dir()}
    return sorted({folder.name for folder in folders if folder.name != "hydra" and any(folder.glob("*.yaml"))})


def choices_of(group: str) -> list[str]:
    """The choices of a group, the user's own beside ours."""
    return sorted({file.stem for directory in config_dirs() for file in (directory / group).glob("*.yaml")})


def own_choices(group: str) -> list[str]:
    """The choices of a group that come with frostline."""
    return sorted(file.stem for file in (CONF_DIR / group).glob("*.yaml"))


def help_page() -> str:
    """What --help prints: choices and options, a line each."""
    examples = {
        "": "the demo: synthetic CT, random weights",
        "data=folder data.root=DIR": "your own images, one folder per class",
        "data=iqothnccd data.root=DIR": "the published data set, ImageNet weights",
        "-m 'freeze=range(10,150,10)'": "a study: one trial for each value",
        "-m hparams_search=phase1": "a study: optimiser, learning rate, batch size",
        "-m hparams_search=phase2": "a study: freezing depth, with phase 1's settings",
        "resume=DIR": "go on with a run that was stopped",
    }
    lines = [
        "frostline: fine-tune a backbone with its first N layers frozen, and say how sure one can be",
        "",
        *(f"  {f'{PROGRAM} {options}':<53}  {meaning}" for options, meaning in examples.items()),
        "",
        "Choices (one file each in conf/, or in a directory of your own: --config-dir=DIR):",
        *(f"  {group + '=':<16}{', '.join(choices_of(group))}" for group in list_groups()),
        "",
        "Options:",
    ]
    for name, (allowed, meaning) in list_options(RunConfig).items():
        lines.append(f"  {name:<24} {meaning} [{allowed}]")
    lines += ["", "Options of studies, with -m (docs/searching.md):"]
    for name, (allowed, meaning) in list_options(SearchConfig, SEARCH_PREFIX).items():
        lines.append(f"  {name:<30} {meaning} [{allowed}]")
    return "\n".join(lines).replace("$", "$$") + "\n"
