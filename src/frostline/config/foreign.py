"""Files of options that may be somebody else's: they set options of a run, and nothing of Hydra's.

Hydra takes whatever a file of `--config-dir` says, `hydra.job.env_set.PATH` and callbacks included: that runs code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from frostline.errors import ConfigError
from frostline.installation import CONF_DIR

SEARCHES = "hparams_search/"  # the group whose files say what a study searches
OF_A_STUDY = "hydra.sweeper."
SAMPLER = "/hydra/sweeper/sampler"
OURS, THEIRS = "main", "command-line"
_RESOLVER = re.compile(r"\$\{[^}]*:")


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
    given = get_args_parser().parse_args([*arguments])
    folders = [] if given.config_dir is None else [str(Path(given.config_dir).absolute())]
    for override in given.overrides:
        if re.match(r"\+?hydra\.searchpath=", override):
            paths = OverridesParser.create().parse_override(override).value()
            folders += [str(path).removeprefix("file://") for path in (paths if isinstance(paths, list) else [])]
    if not folders or given.config_path is not None:
        return
    Plugins.instance()  # which knows the kinds of sources
    search_path = ConfigSearchPathImpl()
    search_path.append("hydra", "pkg://hydra.conf")
    search_path.append(OURS, f"file://{CONF_DIR}")
    for folder in folders:
        search_path.append(THEIRS, folder if "://" in folder else f"file://{folder}")
    search_path.append("schema", "structured://")
    loader = ConfigLoaderImpl(search_path)
    mode = RunMode.MULTIRUN if given.multirun else RunMode.RUN
    overrides = [o for o in given.overrides if not re.match(r"\+?hydra\.searchpath=", o)]
    for default in loader.compute_defaults_list(given.config_name or "config", overrides, mode).defaults:
        if default.config_path is None:
            continue
        found = loader.repository.load_config(default.config_path)
        if found is not None and found.provider == THEIRS:
            file = f"{found.path.removeprefix('file://')}/{default.config_path}.yaml"
            _check_file(file, default.config_path, default.package or "", found.config, found.defaults_list or [])


def _check_file(file: str, name: str, package: str, config: Any, defaults: Sequence[Any]) -> None:
    content = OmegaConf.to_container(config, resolve=False) if isinstance(config, DictConfig) else {}
    is_search, is_sampler = name.startswith(SEARCHES), name.startswith(f"{SAMPLER[1:]}/")
    if (package == "hydra" or package.startswith("hydra.")) and not is_sampler:
        raise ConfigError(f"{file}: sets {package}, which is Hydra's; {_allowed(is_search)}")
    for key, value in _leaves(content):
        full = f"{package}.{key}" if package and package != "_global_" else key
        if full.startswith("hydra") and not (is_sampler or (is_search and full.startswith(OF_A_STUDY))):
            raise ConfigError(f"{file}: sets {full}, which is Hydra's; {_allowed(is_search)}")
        if isinstance(value, str) and _RESOLVER.search(value):
            raise ConfigError(f"{file}: {key}={value}: refers to the environment; give it on the command line")
    for one in defaults:
        group = "/" + str(getattr(one, "group", None) or getattr(one, "path", None) or "").lstrip("/")
        if group.startswith("/hydra") and not (is_search and group == SAMPLER):
            raise ConfigError(f"{file}: chooses {group[1:]}, which is Hydra's; {_allowed(is_search)}")


def _allowed(is_search: bool) -> str:
    what = "hydra.sweeper.* and a sampler" if is_search else "options of a run, as --help lists them,"
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
