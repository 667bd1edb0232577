"""Train, choose the best epoch on validation, evaluate once on test: `python train.py`, options with `--help`."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from frostline.config.compose import TRUSTED, load_config, register_schema
from frostline.config.foreign import check_option_files
from frostline.config.messages import check_flags, readable_errors, refuse_other_sweeper
from frostline.files import disk_in_a_line
from frostline.installation import CONF_DIR, versions
from frostline.runs.folder import RunFolder, remove_abandoned

register_schema()

STOPS = [s for name in ("SIGTERM", "SIGHUP", "SIGUSR1") if (s := getattr(signal, name, None))]  # Windows has one


@hydra.main(config_path=str(CONF_DIR), config_name="config", execution_whitelist=TRUSTED)
def run(cfg: DictConfig) -> float:
    """Run one configuration, as a trial of a study when the sweeper says so."""
    with readable_errors():
        config = load_config(cfg)
        hydra_config = HydraConfig.get()
        if hydra_config.mode == RunMode.MULTIRUN and config.trial.number < 0:
            refuse_other_sweeper(hydra_config.runtime.choices["hydra/sweeper"])
        run_dir = Path(hydra_config.runtime.output_dir)
        if run_dir.is_dir():
            RunFolder(run_dir).log.touch(
                0o600
            )  # it names the folder of the data: for its owner, before the log is opened
        if run_dir.parent == (Path(config.logs_dir) / config.study).absolute():  # a folder of ours
            remove_abandoned(run_dir.parent)
        # torch takes seconds to import: after the options are checked
        if config.trial.number >= 0 and not config.resume:
            from frostline.search.objective import run_trial

            return run_trial(config, run_dir)
        from frostline.training.recipe import train_once

        with disk_in_a_line(run_dir):
            return float(train_once(config, run_dir)["val/acc"])


def main() -> None:
    """Entry point: Hydra reads the command line."""
    terminals = [fd for fd in (1, 2) if os.isatty(fd)]

    def stop_here(number: int, frame: Any) -> None:
        if number == getattr(signal, "SIGHUP", None):
            for fd in terminals:  # a terminal that was closed: what is still said would be an error
                os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
        signal.default_int_handler(number, frame)

    for stop in STOPS:  # `kill`, a closed terminal and a cluster's warning are told as Ctrl-C is
        if signal.getsignal(stop) != signal.SIG_IGN:  # as `nohup` wants it
            signal.signal(stop, stop_here)
    logging.raiseExceptions = False  # a log on a full disk is no stack trace: what else cannot be written is told
    with readable_errors():
        if "--version" in sys.argv[1:]:  # before Hydra prints its own
            print(versions())
            return
        check_flags(sys.argv[1:])
        check_option_files(sys.argv[1:])
        with disk_in_a_line(Path.cwd()):
            run()


class _Callable(ModuleType):
    """`frostline.train` is this module, and from Python a function as well."""

    def __call__(self, *overrides: str, **options: Any) -> Any:
        from frostline.api import train

        return train(*overrides, **options)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    main()
