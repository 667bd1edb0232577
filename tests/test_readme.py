"""README and docs keep their word: every command in them is one that there is, with options that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from frostline import cli
from frostline.config.compose import compose_config
from frostline.task import LUNG
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = [
    pytest.param(line.strip(), id=f"{page.name}: {line.strip()[:60]}")
    for page in PAGES
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    for line in block.splitlines()
    if re.match(r"\s*(python train\.py|frostline) ", line)
]


LAUNCHERS = {f.stem for f in (ROOT / "conf" / "hydra" / "launcher").glob("*.yaml")}


def words(line: str, root: Path) -> list[str]:
    """The words of a command without its comment, DIR a folder that there is."""
    return [word.replace("DIR", str(root)) for word in shlex.split(line, comments=True)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one folder per class."""
    for name in LUNG.classes:
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_pages_is_one(line: str, root: Path) -> None:
    program, *arguments = words(line, root)
    if program == "python":
        options = [a for a in arguments[1:] if not a.startswith(("-", "+", "resume=", "hydra."))]
        assert {o.removeprefix("hydra/launcher=") for o in options if o.startswith("hydra/")} <= LAUNCHERS
        options = [o for o in options if not o.startswith("hydra/")]
        fixed = [o for o in options if not re.search(r"=range\(|=[\w.]+,", o)]
        compose_config(fixed)
        swept = {o.split("=")[0] for o in options} - {o.split("=")[0] for o in fixed}
        assert swept <= {"freeze", "seed", "data.fold", "data.val_fold", "training", "optimizer.layer_decay"}
        return
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]  # a group has them
    name, *rest = [a for a in arguments if a not in ("[RUN...]", "[OPTION...]", "[LOGS|STUDY]")]
    assert name in commands
    known = {flag for parameter in commands[name].params for flag in (*parameter.opts, *parameter.secondary_opts)}
    assert {a.split("=")[0] for a in rest if a.startswith("--")} <= known


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_of_the_pages_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    heads = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith("#"):
            assert link[1:] in heads, link
        elif not link.startswith("https://"):
            assert (page.parent / link).exists(), link


def test_no_path_of_a_machine_stands_in_the_project() -> None:
    for page in (*PAGES, *(ROOT / "benchmarks").glob("*.sh"), ROOT / "Makefile"):
        assert not re.search(r"/(work|root|home)/", page.read_text()), page
