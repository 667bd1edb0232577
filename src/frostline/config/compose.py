"""From `conf/` and the command line to a checked `RunConfig`, and from what goes wrong there to a line one can read.

Hydra and OmegaConf end here: what comes after knows `RunConfig` alone.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser  # its flags are listed nowhere else
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]  # it ships no types

from frostline.config.schema import ConfigError, FrostlineError, RunConfig, check_config, list_options

CONF_DIR = Path(__file__).parents[3] / "conf"
TRUSTED = ["logging.FileHandler", "frostline.terminal.ScreenHandler"]  # what conf/ may make Hydra build
_WANTS_TRACE = os.environ.get("HYDRA_FULL_ERROR") == "1"


SEARCH_OPTIONS = {
    "hydra.sweeper.n_trials": ("a whole number", "trials of a search; a grid is all of its cells"),
    "hydra.sweeper.n_jobs": ("a whole number", "trials at a time"),
    "hydra.sweeper.pruner": ("none, median, hyperband, halving, patience, threshold", "which trials end early"),
    "hydra.sweeper.start_from": ("a study or null", "whose best settings are taken over"),
    "hydra.sweeper.max_failure_rate": ("a number 0 to 1", "share of failed trials that ends a study"),
    "hydra.sweeper.storage": ("an address", "database of the studies"),
    "hydra.sweeper.sampler.seed": ("a whole number", "seed of the sampler"),
}
"""Options of studies by full name, as `config.list_options` lists those of a run."""


def register_schema() -> None:
    """Tell Hydra the types of all options, the page of --help, and where a run's folder is."""
    store = ConfigStore.instance()
    store.store(name="frostline_schema", node=_writable(OmegaConf.structured(RunConfig)), replace=True)
    store.store(
        group="hydra/help", name="frostline", node={"app_name": "frostline", "template": _help_page()}, replace=True
    )
    OmegaConf.register_resolver("run_folder", _run_folder, replace=True)


def _writable(schema: DictConfig) -> DictConfig:
    """Frozen dataclasses give read-only nodes, which Hydra could not merge conf/ into."""
    schema._set_flag("readonly", None)
    for key in schema:
        node = schema._get_node(key)
        if isinstance(node, DictConfig):
            _writable(node)
            if OmegaConf.get_type(node) is dict:  # free keys, e.g. data.folders={Cysts: benign}
                node._set_flag("struct", False)
    return schema


def load_config(cfg: DictConfig) -> RunConfig:
    """Turn Hydra's composed config into a checked `RunConfig`; of a resumed run, the one that it was started with.

    Raises `ConfigError` for a value that cannot be.
    """
    config = _to_config(cfg)
    if config.resume is None:
        return config
    stored = read_config(Path(config.resume))
    _refuse_changes(config, stored, _task_overrides())
    return RunConfig(**{**_shallow(stored), "resume": config.resume})


def compose_config(overrides: Sequence[str]) -> RunConfig:
    """The `RunConfig` that `python train.py OVERRIDES` would run, for callers outside of Hydra."""
    register_schema()
    with initialize_config_dir(str(CONF_DIR), job_name="frostline"):
        return _to_config(compose("config", overrides=list(overrides)))


def read_composed(cfg: DictConfig) -> RunConfig:
    """The checked `RunConfig` in a whole config of Hydra's, its own section left out."""
    return _to_config(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]))


def read_config(run_dir: Path) -> RunConfig:
    """Read the config of a run folder. Raises `ConfigError` when there is none."""
    file = run_dir / "config.yaml"
    if not file.is_file():
        raise ConfigError(f"{run_dir} is no run folder: it has no config.yaml; give the folder that the run printed")
    try:
        return _to_config(OmegaConf.load(file))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"{file}: {explain(error)}") from None


def read_options(run_dir: Path) -> dict[str, Any]:
    """The options of a run by full name, as they were written, whether or not they can still be used."""
    return flatten(OmegaConf.to_container(OmegaConf.load(run_dir / "config.yaml")))  # type: ignore[arg-type]  # a mapping


def config_yaml(config: RunConfig) -> str:
    """The whole config as YAML, as `read_config` reads it."""
    return OmegaConf.to_yaml(OmegaConf.create(asdict(config)))


def _to_config(cfg: Any) -> RunConfig:
    values = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    config = OmegaConf.to_object(OmegaConf.merge(_writable(OmegaConf.structured(RunConfig)), values))
    assert isinstance(config, RunConfig)
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
            raise ConfigError(
                f"{k}={now[k]} is not what this run was started with ({then.get(k)}): "
                "give resume alone, or start a new run without it"
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


def check_flags(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` for a flag that Hydra does not know, in place of argparse's page on all of its own."""

    def refuse(message: str) -> NoReturn:
        flag = next((a for a in arguments if a.startswith("--") and a in message), "")
        key = flag[2:].split("=", 1)[0]
        if key in [*list_options(), *list_groups()]:
            raise ConfigError(f"{flag}: options are given without dashes, {key}=VALUE")
        if "unrecognized" in message and not flag:
            raise ConfigError(f"{message}; flags such as -m and --config-dir come before all options")
        raise ConfigError(f"{message}; python train.py --help lists the options, --hydra-help the flags")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]  # else it prints its usage and exits
    given = parser.parse_args(arguments)
    search = next((a for a in arguments if re.match(r"\+?hparams_search=(?!null$)", a)), None)
    if search and not given.multirun and not given.cfg and not any(a.startswith("hydra.mode=") for a in arguments):
        raise ConfigError(f"{search} is a search of many runs: python train.py -m {search}")


def child_environment() -> dict[str, str]:
    """The environment for another train.py, without what `readable_errors` has set in this one."""
    kept = dict(os.environ)
    if not _WANTS_TRACE:
        kept.pop("HYDRA_FULL_ERROR", None)
    return kept


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn the errors a person can mend into one line on stderr and an exit code; ours keep their stack trace.

    Around `@hydra.main` it takes the errors of composing, inside it those of the job; in a multirun the job's are left
    to the sweeper.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands its errors over in place of printing its own page
    job = HydraConfig.get() if HydraConfig.initialized() else None
    try:
        yield
    except (FrostlineError, HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        if type(error) is ValueError and "Config group override" not in str(error):
            raise  # Hydra has that one; all others are ours
        if _WANTS_TRACE or (job is not None and job.mode == RunMode.MULTIRUN):
            raise
        if job is not None:
            with suppress(OSError):  # only when nothing has begun: the message says all that its log does
                begun = Path(job.runtime.output_dir)
                if [f.name for f in begun.iterdir()] == ["run.log"]:
                    (begun / "run.log").unlink()
                begun.rmdir()
        known = isinstance(error, FrostlineError)
        sys.exit(_fail(str(error) if known else explain(error), getattr(error, "exit_code", ConfigError.exit_code)))
    except KeyboardInterrupt:
        again = "the same command" if {"-m", "--multirun"} & {*sys.argv} else "python train.py resume=RUN_FOLDER"
        sys.exit(_fail(f"stopped; go on with: {again}", 130))
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        sys.exit(141)


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def explain(error: BaseException) -> str:
    """One line for an error of Hydra, OmegaConf or YAML: the option, the value, what is allowed."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not to be read as option=value; a value with special characters goes in 'x=\"...\"'"
    several = re.search(r"(?:Ambiguous value for argument|Sweep parameters) '(.+)'", text)
    if several:
        return f"{several.group(1)}: several values, one run for each, need -m; a list is written [a,b]"
    unknown_choice = re.search(r"Could not find '([^']+)/([^'/]+)'", text)
    if unknown_choice:
        group, choice = unknown_choice.groups()
        choices = _choices(group)
        return f"{group}={choice}: {_nearest(choice, choices)}the choices are {', '.join(choices)}"
    if "Config group override must be" in text:  # Hydra does not say which
        given = next((a for a in sys.argv[1:] if a.split("=", 1)[0] in list_groups() and _no_choice(a)), "")
        group = given.split("=", 1)[0]
        return f"{given}: the choices are {', '.join(_choices(group))}" if group else text

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__ or cause.__context__
    override = re.search(r"Error merging override (.+)|Could not override '([^']+)'", text)
    given = (override.group(1) or override.group(2)) if override else ""
    key = re.sub(r"\[.*", "", getattr(cause, "full_key", None) or given.split("=", 1)[0]).lstrip("+~")
    options = list_options() | SEARCH_OPTIONS
    if given.startswith("~"):
        return f"{given}: an option can be set, not taken away"
    if key in options and not isinstance(cause, InterpolationResolutionError):
        allowed, meaning = options[key]
        return f"{given or key}: must be {allowed} ({meaning})"
    if key and key not in options and "not in" in f"{text} {cause}":
        near = _nearest(key, [*options, *list_groups()])
        return f"{given or key}: there is no option {key!r}; {near}python train.py --help lists them all"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _no_choice(override: str) -> bool:
    group, _, choice = override.partition("=")
    return choice not in _choices(group)


def _nearest(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    if not close:  # an option given without its section: bach_size is near data.batch_size
        tails = {name.rsplit(".", 1)[-1]: name for name in known}
        close = [tails[tail] for tail in get_close_matches(word.rsplit(".", 1)[-1], tails, n=1, cutoff=0.6)]
    return f"did you mean {close[0]!r}? " if close else ""


def list_groups() -> list[str]:
    """Names of the groups of choices in `conf/`."""
    return sorted(folder.name for folder in CONF_DIR.iterdir() if folder.is_dir() and folder.name != "hydra")


def _choices(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF_DIR / group).glob("*.yaml"))


def _help_page() -> str:
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
        *(f"  {group + '=':<16}{', '.join(_choices(group))}" for group in list_groups()),
        "",
        "Options:",
    ]
    for name, (allowed, meaning) in list_options().items():
        lines.append(f"  {name:<24} {meaning} [{allowed}]")
    lines += ["", "Options of studies, with -m (docs/searching.md):"]
    for name, (allowed, meaning) in SEARCH_OPTIONS.items():
        lines.append(f"  {name:<30} {meaning} [{allowed}]")
    return "\n".join(lines).replace("$", "$$") + "\n"
