"""Errors that a person can mend: shown as one line, without a stack trace."""

from __future__ import annotations

import gc
import traceback


class FrostlineError(Exception):
    """What a person can mend: shown as one line, without a stack trace."""

    exit_code = 1


class ConfigError(FrostlineError):
    """An option that cannot be: the message names the option, the value and what is allowed."""

    exit_code = 2


class Stopped(FrostlineError):
    """Somebody pressed Ctrl-C."""

    exit_code = 130


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its type when it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def release(error: BaseException) -> None:
    """Let go of what the frames of `error` hold: network and batch, for the next trial wants the memory; files."""
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
    gc.collect()  # Lightning's trainer and module hold one another
