"""Files of options that may be somebody else's: they set options of a run, and nothing of Hydra's.

Hydra takes whatever a file of `--config-dir` says, `hydra.job.env_set.PATH` and callbacks included: that runs code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from frostline.config.groups import SEARCH_PREFIX
from frostline.config.schema import SearchConfig
from frostline.errors import ConfigError
from frostline.installation import CONF_DIR

SEARCHES = "hparams_search/"  # the group whose files say what a study searches
OF_A_STUDY = tuple(f"{SEARCH_PREFIX}{f.name}" for f in fields(SearchConfig) if f.name != "storage")
SAMPLER = "/hydra/sweeper/sampler"
OURS, THEIRS = "main", "command-line"
_REFERENCE = re.compile(r"\$\{[\w.]+\}")  # to another option


def refuse_references(values: Any, file: Path | str) -> None:
    """Raise `ConfigError` where values, nested plain ones, refer to something outside: `${oc.env:HOME}`."""
    for key, value in _leaves(values):
        if isinstance(value, str) and "${" in value:
            raise ConfigError(f"{file}: {key}={value}: refers to something else, and values alone are read from it")


def check_option_files(arguments: Sequence[str]) -> None:
    """Look at the files that train.py takes by its arguments `--config-dir` and `hydra.searchpath`, before Hydra does.

    Raises `ConfigError` for one that sets anything of Hydra's, but for what a study searches in a file of
    hparams_search, or that refers to the environment.
    """
    _check(arguments, None)


def check_files_of_job(arguments: Sequence[str], job: Sequence[str]) -> None:
    """As `check_option_files`, for the overrides of a job of a study: they may choose files that the study did not."""
    _check(arguments, job)


def _check(arguments: Sequence[str], job: Sequence[str] | None) -> None:
    given = get_args_parser().parse_args([*arguments])
    folders = [] if given.config_dir is None else [str(Path(given.config_dir).absolute())]
    for override in given.overrides:
        if "searchpath" not in override.partition("=")[0] and not re.match(r"\W*hydra=.*searchpath", override):
            continue
        paths = OverridesParser.create().parse_override(override).value()
        if not re.match(r"\+{0,2}hydra\.searchpath=", override) or not isinstance(paths, list):
            raise ConfigError(f"{override}: is written hydra.searchpath=[DIR, ...]")
        folders += [str(path).removeprefix("file://") for path in paths]
    if not folders:
        return
    Plugins.instance()  # which knows the kinds of sources
    search_path = ConfigSearchPathImpl()
    search_path.append("hydra", "pkg://hydra.conf")
    search_path.append(OURS, f"file://{Path(given.config_path).absolute() if given.config_path else CONF_DIR}")
    for folder in folders:
        search_path.append(THEIRS, folder if "://" in folder else f"file://{folder}")
    search_path.append("schema", "structured://")
    loader = ConfigLoaderImpl(search_path)
    mode = RunMode.MULTIRUN if job is None and given.multirun else RunMode.RUN
    overrides = [o for o in (given.overrides if job is None else job) if "searchpath" not in o]
    for default in loader.compute_defaults_list(given.config_name or "config", overrides, mode).defaults:
        if default.config_path is None:
            continue
        found = loader.repository.load_config(default.config_path)
        if found is not None and found.provider == THEIRS:
            file = f"{found.path.removeprefix('file://')}/{default.config_path}.yaml"
            _check_file(file, default.config_path, default.package or "", found.config, found.defaults_list or [])


def _check_file(file: str, name: str, package: str, config: Any, defaults: Sequence[Any]) -> None:
    content = OmegaConf.to_container(config, resolve=False) if isinstance(config, DictConfig) else {}
    is_search = name.startswith(SEARCHES)
    is_sampler = name.startswith(f"{SAMPLER[1:]}/") and package == SAMPLER[1:].replace("/", ".")
    for key, value in _leaves(content):
        full = f"{package}.{key}" if package and package != "_global_" else key
        if full.split(".")[0] == "hydra" and not is_sampler and not (is_search and full.startswith(OF_A_STUDY)):
            raise ConfigError(f"{file}: sets {full}, which is Hydra's; {_allowed(is_search)}")
        if isinstance(value, str) and "${" in _REFERENCE.sub("", value):
            raise ConfigError(f"{file}: {key}={value}: refers to the environment; give it on the command line")
    for one in defaults:
        group = "/" + str(getattr(one, "group", None) or getattr(one, "path", None) or "").lstrip("/")
        if group.startswith("/hydra") and not (is_search and group == SAMPLER):
            raise ConfigError(f"{file}: chooses {group[1:]}, which is Hydra's; {_allowed(is_search)}")


def _allowed(is_search: bool) -> str:
    what = "what a study searches and a sampler" if is_search else "options of a run, as --help lists them,"
    return f"a file holds {what} and nothing else of it; give it on the command line"


def _leaves(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _leaves(value, prefix)
    else:
        yield prefix, values
