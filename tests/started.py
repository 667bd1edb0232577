"""train.py in a process of its own, forked from one that has all imported: imports take longer than most runs."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPORTED = ("frostline.train", "frostline.training.recipe", "frostline.search.sweeper", "frostline.plots.run")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*IMPORTED])


def run_forked(arguments: tuple[str, ...], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `python train.py ARGUMENTS` to its end; after 300 s it is killed and `TimeoutError` raised."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _context.Process(target=_run, args=(arguments, dict(environment), out, err))
        with (
            pytest.MonkeyPatch.context() as patch
        ):  # imported is with what stands in the environment of the first start
            patch.delenv("HYDRA_FULL_ERROR", raising=False)
            process.start()
        process.join(300)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"train.py {' '.join(arguments)}: {out.read_text()}{err.read_text()}")
        return subprocess.CompletedProcess(["train.py", *arguments], process.exitcode, out.read_text(), err.read_text())


def _run(arguments: tuple[str, ...], environment: Mapping[str, str], out: Path, err: Path) -> None:
    for file, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = ["train.py", *arguments]
    code: object = 0
    try:
        runpy.run_path("train.py", run_name="__main__")
    except SystemExit as stop:
        code = stop.code
    except Exception:  # as the interpreter does
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # as it ends, too: multiprocessing would wait for joblib's workers
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
