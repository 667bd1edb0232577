"""From `conf/` and the command line to a checked `RunConfig`, and from what goes wrong there to a line one can read.

Hydra and OmegaConf end here: what comes after knows `RunConfig` alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]  # it ships no types

from frostline.config.checks import check_config, check_tracker, settled_split
from frostline.config.foreign import refuse_references
from frostline.config.groups import help_page
from frostline.config.messages import explain
from frostline.config.schema import RunConfig
from frostline.errors import ConfigError
from frostline.installation import CONF_DIR

TRUSTED = ["logging.FileHandler", "frostline.terminal.ScreenHandler"]  # what conf/ may make Hydra build


CONFIG_FILE = "config.yaml"  # of a run folder
MORE = "trainer.max_epochs"  # the one option that a run can be gone on with: more of it
FORMER = {"trainer.monitor": "val/acc"}  # what runs did before it was an option, where that is not its default


def register_schema() -> None:
    """Tell Hydra the types of all options, the page of --help, and where a run's folder is."""
    store = ConfigStore.instance()
    store.store(name="frostline_schema", node=_schema(), replace=True)
    store.store(
        group="hydra/help", name="frostline", node={"app_name": "frostline", "template": help_page()}, replace=True
    )
    OmegaConf.register_resolver("run_folder", _run_folder, replace=True)


@cache
def _schema() -> DictConfig:
    """The types of all options; Hydra's store and `merge` copy it."""
    return _writable(OmegaConf.structured(RunConfig))


def _writable(schema: DictConfig) -> DictConfig:
    """Frozen dataclasses give read-only nodes, which Hydra could not merge conf/ into."""
    OmegaConf.set_readonly(schema, None)
    for key in schema:
        node = None if OmegaConf.is_missing(schema, key) else schema[key]
        if isinstance(node, DictConfig):
            _writable(node)
            if OmegaConf.get_type(node) is dict:  # free keys, e.g. data.folders={Cysts: benign}
                OmegaConf.set_struct(node, False)
    return schema


def load_config(cfg: DictConfig) -> RunConfig:
    """Turn Hydra's composed config into a checked `RunConfig`; of a resumed run, the one that it was started with.

    Raises `ConfigError` for a value that cannot be.
    """
    config = _to_config(cfg)
    if config.resume is None:
        check_tracker(config)
        return config
    stored = read_config(Path(config.resume))
    check_tracker(stored)
    overrides = _task_overrides()
    if any(o.partition("=")[0] == MORE for o in overrides) and config.trainer.max_epochs > stored.trainer.max_epochs:
        stored = replace(stored, trainer=replace(stored.trainer, max_epochs=config.trainer.max_epochs))
    _refuse_changes(config, stored, overrides)
    return RunConfig(**{**_shallow(stored), "resume": config.resume})


def compose_values(overrides: Sequence[str]) -> dict[str, Any]:
    """All options as `conf/` alone composes them with these overrides, unchecked."""
    with _conf_alone():
        values = OmegaConf.to_container(compose("config", overrides=list(overrides)), resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def compose_config(overrides: Sequence[str]) -> RunConfig:
    """The `RunConfig` that `python train.py OVERRIDES` would run, for callers outside of Hydra."""
    with _conf_alone():
        return _to_config(compose("config", overrides=list(overrides)))


@contextmanager
def _conf_alone() -> Iterator[None]:
    """Hydra over `conf/`, also inside of a running Hydra, of which there can be one at a time."""
    register_schema()
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF_DIR), job_name="frostline"):
            yield
    finally:
        GlobalHydra.instance().hydra = running


def read_composed(cfg: DictConfig) -> RunConfig:
    """The checked `RunConfig` in a whole config of Hydra's, its own section left out."""
    config = _to_config(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]))
    check_tracker(config)
    return config


def read_config(run_dir: Path, root: Path | None = None) -> RunConfig:
    """Read the config of a run folder, with its data set at `root` where that is given.

    Raises `ConfigError` when there is none, or it cannot be used any more: a data set that is gone.
    """
    file = run_dir / CONFIG_FILE
    if not file.is_file():
        raise ConfigError(
            f"{run_dir} is no run folder: it has no config.yaml; give the one that the run printed, logs/runs/DATE"
        )
    try:
        written = OmegaConf.load(file)
        refuse_references(OmegaConf.to_container(written, resolve=False), file)
        if root is not None:
            OmegaConf.update(written, "data.root", str(root))
        for name, value in FORMER.items():
            if OmegaConf.select(written, name) is None:
                OmegaConf.update(written, name, value)
        return _to_config(written)
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"{file}: {explain(error)}") from None


def read_options(run_dir: Path) -> dict[str, Any]:
    """The options of a run by full name, as they were written, whether or not they can still be used.

    An option that was not there when the run was begun had what `former_options` says. Raises `ConfigError` for a file
    that is none of ours.
    """
    try:
        written = OmegaConf.to_container(OmegaConf.load(run_dir / CONFIG_FILE))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"{run_dir / CONFIG_FILE}: {explain(error)}") from None
    if not isinstance(written, dict):
        raise ConfigError(f"{run_dir / CONFIG_FILE}: holds no options")
    return former_options() | flatten({str(key): value for key, value in written.items()})


def former_options() -> dict[str, Any]:
    """Every option by full name with what a run did that was begun before the option was there."""
    return flatten(asdict(RunConfig(freeze=0))) | FORMER


def config_yaml(config: RunConfig) -> str:
    """The whole config as YAML, as `read_config` reads it."""
    return OmegaConf.to_yaml(OmegaConf.create(asdict(config)))


def _to_config(cfg: Any) -> RunConfig:
    values = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    config = OmegaConf.to_object(OmegaConf.merge(_schema(), values))
    assert isinstance(config, RunConfig)
    config = replace(config, data=replace(config.data, split=settled_split(config.data)))
    check_config(config)
    return config


def _shallow(config: Any) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in fields(config)}


def _task_overrides() -> list[str]:
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def _refuse_changes(given: RunConfig, stored: RunConfig, overrides: Sequence[str]) -> None:
    """A resumed run is the run it was: options given beside `resume` must be the ones it was started with."""
    now, then = flatten(asdict(given)), flatten(asdict(stored))
    for override in overrides:
        key = override.split("=", 1)[0].lstrip("+~")
        sets = [k for k in now if key == "experiment" or k == key or k.startswith(f"{key}.")]
        changed = [k for k in sets if now[k] != then.get(k) and k != "resume"]
        if changed:
            k = changed[0]
            more = k == "trainer.max_epochs"
            raise ConfigError(
                f"{k}={now[k]} is {'less than what this run has' if more else 'not what this run was started with'} "
                f"({then.get(k)}): give resume alone, {'or more epochs, ' if more else ''}or start a new run without it"
            )


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options by their full name."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def _run_folder(resume: str | None, logs_dir: str, study: str, now: str) -> str:
    if resume:
        return str(resume)
    folder = Path(logs_dir) / study / now
    return str(folder if not folder.exists() else folder.with_name(f"{folder.name}-{os.getpid()}"))
