"""What goes wrong in Hydra, OmegaConf or YAML as one line: the option, the value, what is allowed."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]  # it ships no types

from frostline.config.groups import all_options, choices_of, list_groups
from frostline.config.other_names import OTHER_NAMES
from frostline.errors import ConfigError, FrostlineError, Stopped, first_line
from frostline.installation import PROGRAM
from frostline.text import has_password

_WANTS_TRACE = os.environ.get("HYDRA_FULL_ERROR") == "1"


OWN_FILES = ("experiment", "hparams_search")  # groups whose files set options of all sections
NO_PACKAGE = "its file has to begin with the line `# @package _global_`, as those in conf/ do"
COMMAND = "FROSTLINE_COMMAND"  # what was typed, where that is not what runs: a study's steps


def check_flags(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` for a flag that Hydra does not know, in place of argparse's page on all of its own."""

    def refuse(message: str) -> NoReturn:
        flag = next((a for a in arguments if a.startswith("--") and a in message), "")
        key = flag[2:].split("=", 1)[0]
        if key in [*all_options(), *list_groups()]:
            raise ConfigError(f"{flag}: options are given without dashes, {key}=VALUE")
        if here := OTHER_NAMES.get(key.replace("-", "_")):
            raise ConfigError(f"{flag}: here it is {here}, without dashes")
        if "unrecognized" in message and not flag:
            raise ConfigError(f"{message}; flags such as -m and --config-dir come before all options")
        raise ConfigError(f"{message}; {PROGRAM} --help lists the options, --hydra-help the flags")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]  # else it prints its usage and exits
    given = parser.parse_args(arguments)
    if given.multirun and (given.cfg or given.info):
        raise ConfigError(
            "--cfg and --info show the options of one run: leave out -m, and give no option several values"
        )
    if given.experimental_rerun:
        raise ConfigError(
            "--experimental-rerun: a run folder here is gone on with by resume=DIR; its options are in config.yaml"
        )
    for override in arguments:
        if "storage" in override and has_password(override):
            refuse_password("'hydra.sweeper.storage=${oc.env:STUDIES}'")
        if override.startswith("hydra/sweeper="):
            refuse_other_sweeper(override.partition("=")[2])
    search = next((a for a in arguments if re.match(r"\+?hparams_search=(?!null$)", a)), None)
    if search and not given.multirun and not given.cfg and not any(a.startswith("hydra.mode=") for a in arguments):
        raise ConfigError(f"{search} is a search of many runs: {PROGRAM} -m {search}")


def refuse_password(instead: str) -> NoReturn:
    """Raise `ConfigError` for an address with a password on the command line, where every user of a machine sees it."""
    raise ConfigError(
        "the address of the database holds a password: on a command line all users of this machine can read it. Put it "
        f"into a variable (export STUDIES=postgresql://...) and give {instead}"
    )


def address_of(storage: str | None) -> str | None:
    """The database that `--storage` names, itself or by a `$VARIABLE`. Raises `ConfigError` for one with a password."""
    if storage is not None and has_password(storage):
        refuse_password("--storage '$STUDIES'")
    if storage is None or not storage.startswith("$"):
        return storage
    name = storage.strip("${}")
    if name not in os.environ:
        raise ConfigError(f"--storage {storage}: there is no such variable; export {name}=postgresql://...")
    return os.environ[name]


def refuse_other_sweeper(choice: str) -> None:
    """Raise `ConfigError` for another of Hydra's sweepers than ours: it would test every trial, in one folder."""
    if choice != "frostline":
        raise ConfigError(
            f"hydra/sweeper={choice}: studies are run by frostline's own sweeper alone, which leaves the test set "
            "closed; samplers are hydra/sweeper/sampler=NAME"
        )


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
            _remove_unless_begun(Path(job.runtime.output_dir))
        known = isinstance(error, FrostlineError)
        sys.exit(_fail(str(error) if known else explain(error), getattr(error, "exit_code", ConfigError.exit_code)))
    except KeyboardInterrupt:
        given = os.environ.get(COMMAND) or " ".join([PROGRAM, shlex.join(sys.argv[1:])])
        run_dir = None if job is None or job.mode == RunMode.MULTIRUN else Path(job.runtime.output_dir)
        if run_dir is not None:
            _remove_unless_begun(run_dir)
        again = given if run_dir is None or not any(run_dir.glob("*.yaml")) else f"{PROGRAM} resume={run_dir}"
        sys.exit(_fail(f"stopped; go on with: {again}", Stopped.exit_code))
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        sys.exit(141)


def _remove_unless_begun(run_dir: Path) -> None:
    """Remove the folder of a run that ended before it began: the message says all that its log does."""
    with suppress(OSError):
        if [f.name for f in run_dir.iterdir()] == ["run.log"]:
            (run_dir / "run.log").unlink()
        run_dir.rmdir()


def _fail(message: str, code: int) -> int:
    print(message if code == Stopped.exit_code else f"error: {message}", file=sys.stderr)  # Ctrl-C is no error
    return code


def explain(error: BaseException) -> str:
    """One line for an error of Hydra, OmegaConf or YAML: the option, the value, what is allowed."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        return _not_to_be_read(str(error.override))
    several = re.search(r"(?:Ambiguous value for argument|Sweep parameters) '(.+)'", text)
    if several:
        return f"{several.group(1)}: several values, one run for each, need -m; a list is written [a,b]"
    if isinstance(error, MissingConfigException):
        return _unknown_choice(error)
    if "Config group override must be" in text:  # Hydra does not say which
        given = next((a for a in sys.argv[1:] if a.split("=", 1)[0] in list_groups() and _no_choice(a)), "")
        group = given.split("=", 1)[0]
        return f"{given}: the choices are {', '.join(choices_of(group))}" if group else text

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__ or cause.__context__
    if "Invalid Defaults List override" in text and "hparams_search" in text:
        return f"{_given('hparams_search')}: {NO_PACKAGE}"
    override = re.search(r"Error merging override (.+)|Could not override '([^']+)'", text)
    given = (override.group(1) or override.group(2)) if override else ""
    key = re.sub(r"\[.*", "", getattr(cause, "full_key", None) or given.split("=", 1)[0]).lstrip("+~")
    options = all_options()
    if given.startswith("~"):
        return f"{given}: an option can be set, not taken away"
    if key in options and not isinstance(cause, InterpolationResolutionError):
        allowed, meaning = options[key]
        quoted = _quoted(given) if allowed == "a text" and re.search(r"=\s*[\[{]", given) else ""
        return f"{given or key}: must be {allowed} ({meaning}){f'; write {quoted}' if quoted else ''}"
    if key in OWN_FILES and _given(key):
        return f"{_given(key)}: {NO_PACKAGE}"
    if key and key not in options and "not in" in f"{text} {cause}":
        if here := OTHER_NAMES.get(key) or OTHER_NAMES.get(key.rsplit(".", 1)[-1]):
            return f"{given or key}: there is no option {key!r}; here it is {here}"
        near = _nearest(key, [*options, *list_groups()])
        return f"{given or key}: there is no option {key!r}; {near}{PROGRAM} --help lists them all"
    if override and cause is not None and "\n" not in text.strip():
        return f"{given}: {first_line(cause)}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _given(group: str) -> str:
    """How a group was chosen on the command line."""
    return next((a.lstrip("+") for a in sys.argv[1:] if a.lstrip("+").startswith(f"{group}=")), "")


def _not_to_be_read(override: str) -> str:
    if "=" in override:
        quoted = _quoted(override)
        return f"{override}: not to be read as option=value" + (f"; write {quoted}" if quoted else "")
    if Path(override).is_dir():
        return _own_folder(override, override)
    if override in ("help", "version"):
        return f"{override}: {PROGRAM} --{override}"
    return f"{override}: not to be read as option=value; {PROGRAM} --help lists the options"


def quote_override(key: str, value: str) -> str:
    """`key=value` so that Hydra takes the value as a text, whatever it holds."""
    if "${" in value:
        raise ConfigError(f"{value}: its name holds ${{, which options read as a reference; rename it")
    return f"{key}={QuotedString(value, Quote.double).with_quotes()}"


def _own_folder(given: str, folder: str) -> str:
    root = f"data.root={folder}"
    with suppress(HydraException):
        OverridesParser.create().parse_override(root)
        return f"{given}: a folder of your own is given so: data=folder {shlex.quote(root)}"
    return f"{given}: a folder of your own is given so: data=folder {_quoted(root)}"


def _quoted(override: str) -> str:
    """The argument as it has to be typed for its value to be taken as a text; empty when that does not help."""
    key, _, value = override.partition("=")
    if "${" in value:
        return ""
    quoted = quote_override(key, value)
    with suppress(HydraException):
        OverridesParser.create().parse_override(quoted)
        return shlex.quote(quoted)
    return ""


def _unknown_choice(error: MissingConfigException) -> str:
    """A choice that a group does not have: of `conf/`, of the user's own directory, or of Hydra's."""
    asked = error.missing_cfg_file or ""
    within = re.search(r"Available options in '([^']+)'", str(error))
    group = within.group(1) if within else asked.rpartition("/")[0]
    choice = asked.removeprefix(f"{group}/")
    if group == "data" and Path(choice).is_dir():
        return _own_folder(f"data={choice}", choice)
    choices = sorted(error.options or choices_of(group))
    if group == "model":
        return (
            f"model={choice}: the choices are {', '.join(choices)}; any other network of torchvision is "
            f"model=torchvision model.name={choice}"
        )
    return f"{group}={choice}: {_nearest(choice, choices)}the choices are {', '.join(choices)}"


def _no_choice(override: str) -> bool:
    group, _, choice = override.partition("=")
    return choice not in choices_of(group)


def _nearest(word: str, known: Sequence[str]) -> str:
    tails = {name.rsplit(".", 1)[-1]: name for name in known}  # an option given without its section
    tail = word.rsplit(".", 1)[-1]
    close = [tails[tail]] if tail in tails else get_close_matches(word, known, n=1, cutoff=0.5)
    if not close:
        close = [tails[near] for near in get_close_matches(tail, tails, n=1, cutoff=0.6)]
    return f"did you mean {close[0]!r}? " if close else ""
