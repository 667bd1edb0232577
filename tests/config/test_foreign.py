"""Files of options that are somebody else's set options of a run, and run nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from frostline.config.compose import read_config, register_schema
from frostline.config.foreign import check_files_of_job, check_option_files
from frostline.errors import ConfigError
from tests.conftest import Run, train

GLOBAL = "# @package _global_\n"

register_schema()  # as train.py does


def put(folder: Path, name: str, content: str) -> Path:
    file = folder / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s/best", GLOBAL + "hydra: {job: {env_set: {PATH: /tmp/planted}}}", "sets hydra.job.env_set.PATH"),
        ("s/best", GLOBAL + "hydra: {callbacks: {a: {_target_: os.system}}}", "sets hydra.callbacks.a._target_"),
        ("s/best", GLOBAL + "hydra: {sweeper: {storage: 'postgresql://evil'}}", "sets hydra.sweeper.storage"),
        ("s/best", GLOBAL + "hydra: {job_logging: {handlers: {file: {filename: /tmp/x}}}}", "sets hydra.job_logging"),
        ("s/best", "# @package hydra.job\nenv_set: {PATH: /tmp/planted}", "sets hydra.job.env_set.PATH"),
        ("s/best", GLOBAL + "defaults: [{override /hydra/launcher: joblib}]", "chooses hydra/launcher"),
        ("s/best", GLOBAL + "optimizer: {lr: '${oc.env:HOME}'}", "optimizer.lr=${oc.env:HOME}: refers to the environ"),
        ("s/best", GLOBAL + "data: {folders: {a: ['${oc.decode:${oc.env:X}}']}}", "refers to the environment"),
        ("hparams_search/s", GLOBAL + "hydra: {launcher: {_target_: os.system}}", "sets hydra.launcher._target_"),
        ("hparams_search/s", GLOBAL + "defaults: [{override /hydra/launcher: joblib}]", "chooses hydra/launcher"),
        ("optimizer/mine", "name: adam\nlr: '${oc.env:LR}'", "optimizer/mine.yaml: lr=${oc.env:LR}"),
    ],
)
def test_a_file_that_sets_what_is_hydras_is_refused_by_name(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    put(tmp_path, name, content)
    group, choice = name.split("/")
    given = f"{group}={choice}" if group in ("hparams_search", "optimizer") else f"+{group}={choice}"
    for folder in (f"--config-dir={tmp_path}", f"hydra.searchpath=[file://{tmp_path}]"):
        with pytest.raises(ConfigError) as refused:
            check_option_files(["-m", folder, given] if group == "hparams_search" else [folder, given])
        assert str(tmp_path) in str(refused.value)
        assert message in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("files", "arguments"),
    [
        (
            {"hydra/sweeper/sampler/mine": GLOBAL + "hydra: {job: {env_set: {PATH: /x}}}"},
            ["hydra/sweeper/sampler=mine"],
        ),
        ({"hparams_search/s": GLOBAL + "hydra: {sweeper: {storage: 'sqlite:////tmp/x'}}"}, ["hparams_search=s"]),
        ({"s/best": GLOBAL + "logger: {entity: '${${study}.env:HOME}'}"}, ["+s=best"]),
        ({"s/best": GLOBAL + "hydra.job.env_set.PATH: /x"}, ["+s=best"]),
    ],
)
def test_ways_around_are_closed(files: dict[str, str], arguments: list[str], tmp_path: Path) -> None:
    for name, content in files.items():
        put(tmp_path, name, content)
    with pytest.raises(ConfigError, match=str(tmp_path)):
        check_option_files(["-m", f"--config-dir={tmp_path}", *arguments])
    with pytest.raises(ConfigError, match=str(tmp_path)):
        check_option_files(["-m", f"hydra.searchpath=[{tmp_path}]", *arguments])


def test_a_file_that_only_jobs_of_a_study_choose_is_looked_at_before_they_begin(tmp_path: Path) -> None:
    put(tmp_path, "optimizer/mine", GLOBAL + "hydra: {job: {env_set: {PATH: /x}}}")
    given = ["-m", f"--config-dir={tmp_path}", "optimizer=mine,adam"]
    check_option_files(given)  # no job is composed yet
    check_files_of_job(given, ["optimizer=adam"])
    with pytest.raises(ConfigError, match=r"optimizer/mine\.yaml: sets hydra\.job\.env_set\.PATH"):
        check_files_of_job(given, ["optimizer=mine"])


@pytest.mark.parametrize("given", ["hydra[searchpath]=[/x]", "++hydra={searchpath: [/x]}", "hydra.searchpath=/x"])
def test_a_search_path_in_other_words_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"is written hydra\.searchpath=\[DIR, \.\.\.\]"):
        check_option_files([given])


def test_options_of_runs_and_searches_of_ones_own_are_let_in(tmp_path: Path) -> None:
    put(tmp_path, "s/best", GLOBAL + "defaults: [{override /optimizer: sgd}]\noptimizer: {lr: 0.1}\nfreeze: 80")
    put(
        tmp_path,
        "hparams_search/mine",
        GLOBAL
        + "defaults: [{override /hydra/sweeper/sampler: tpe}]\nhydra: {sweeper: {n_trials: 3, params: {seed: 1}}}",
    )
    check_option_files([f"--config-dir={tmp_path}", "+s=best", "hydra.job.chdir=true"])  # one's own command line
    check_option_files(["-m", f"--config-dir={tmp_path}", "hparams_search=mine", "freeze=0,10"])
    check_option_files(["freeze=0"])


def test_a_planted_program_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "bin").mkdir()
    git = tmp_path / "bin" / "git"
    git.write_text(f"#!/bin/sh\ntouch {ran}\n")
    git.chmod(0o755)
    put(tmp_path / "logs", "s/best", GLOBAL + f"hydra: {{job: {{env_set: {{PATH: '{git.parent}'}}}}}}")
    done = train(f"--config-dir={tmp_path / 'logs'}", "+s=best", f"logs_dir={tmp_path}", "logger=csv")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: {tmp_path}/logs/s/best.yaml: sets hydra.job.env_set.PATH")
    assert not ran.exists()


def test_a_run_folder_of_somebody_else_reads_nothing_from_the_environment(tiny_run: Run, tmp_path: Path) -> None:
    written = (tiny_run.folder / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(written.replace("study: runs", "study: ${oc.env:HOME}"))
    with pytest.raises(ConfigError, match=r"config\.yaml: study=\$\{oc\.env:HOME\}: refers to something else"):
        read_config(tmp_path)
