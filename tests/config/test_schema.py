"""Every option is checked before anything heavy happens, and what is wrong is one line that helps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from frostline.config.compose import _refuse_changes, compose_config, config_yaml, read_config
from frostline.config.groups import all_options
from frostline.config.messages import readable_errors
from frostline.config.schema import RunConfig
from frostline.errors import ConfigError
from frostline.installation import CONF_DIR

TRAIN = CONF_DIR.parent / "train.py"
CONF_FILES = sorted(f.relative_to(CONF_DIR) for f in CONF_DIR.glob("*/*.yaml"))
NEEDS = {"data/iqothnccd": ["data.root=."], "data/folder": ["data.root=."], "model/torchvision": ["model.name=vgg11"]}
NEEDS |= {"model/timm": ["model.name=timm/resnet18"]}
NAMES = ("vgg11", "timm/resnet18", "timm/tf_efficientnet_lite2")  # of files that are not called like what they set


def train(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run train.py as a user does, from `folder`."""
    return subprocess.run(
        [sys.executable, str(TRAIN), *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """What the options given are refused with: exactly one line on stderr, exit code 2."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # what readable_errors sets is undone with it

    def refuse(*overrides: str) -> str:
        with pytest.raises(SystemExit) as stop, readable_errors():
            compose_config(overrides)
        assert stop.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err.removeprefix("error: ").rstrip("\n")

    return refuse


def options(section: Any = RunConfig, prefix: str = "") -> Iterator[str]:
    for f in fields(section):
        kind = get_type_hints(section)[f.name]
        if is_dataclass(kind):
            yield from options(kind, f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}"


# --- what composes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", CONF_FILES, ids=str)
def test_every_file_of_conf_composes_to_a_checked_run(file: Path) -> None:
    choice = f"{file.parent}/{file.stem}"
    if file.parent.name == "hydra":
        pytest.skip("Hydra's own")
    config = compose_config([f"{file.parent}={file.stem}", *NEEDS.get(choice, [])])
    section = getattr(config, str(file.parent), None)
    assert section is None or not hasattr(section, "name") or section.name in (file.stem, *NAMES)


def test_all_groups_of_conf_were_found() -> None:
    groups = {str(f.parent) for f in CONF_FILES}
    assert {"data", "model", "optimizer", "scheduler", "loss", "trainer", "logger", "experiment"} <= groups


def test_the_demo_is_what_no_argument_gives() -> None:
    config = compose_config([])
    assert "demo" in config.preset
    assert "no pretrained weights" in config.preset
    assert (config.data.name, config.model.name, config.model.weights, config.freeze) == (
        "phantom",
        "resnet101",
        None,
        80,
    )


def test_what_is_typed_wins_over_data_and_experiment() -> None:
    config = compose_config(["experiment=from_scratch", "freeze=5", "optimizer.lr=0.5", "scheduler=cosine"])
    assert (config.freeze, config.optimizer.lr, config.scheduler.name) == (5, 0.5, "cosine")
    assert config.data.image_size == 96  # the experiment's, over the phantoms' 64


def test_a_head_alone_is_trained_on_whatever_data(tmp_path: Path) -> None:
    config = compose_config(["experiment=head_only", "data=folder", f"data.root={tmp_path}"])
    assert (config.freeze, config.optimizer.lr, config.trainer.max_epochs) == (345, 1e-3, 10)


def test_an_experiment_wins_over_what_the_model_and_the_data_set_bring() -> None:
    config = compose_config(["experiment=from_scratch"])
    assert (config.freeze, config.model.weights, config.trainer.max_epochs) == (0, None, 12)


@pytest.mark.parametrize(("model", "freeze"), [("resnet101", 80), ("resnet152", 121), ("efficientnet_b3", 117)])
def test_freeze_is_the_models_own_until_it_is_given(model: str, freeze: int) -> None:
    assert compose_config([f"model={model}"]).freeze == freeze
    assert compose_config([f"model={model}", "freeze=7"]).freeze == 7


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data=iqothnccd", "data.root=.", "model.weights=null", "resume=null"],
        ["optimizer=rmsprop", "scheduler=step", "loss=focal", "model.head_widths=[]", "logger.tags=[a,b]"],
        ["optimizer.options={betas: [0.8, 0.9]}", "data.folders={Bengin cases: benign}", "study=a.b-1"],
    ],
)
def test_a_config_written_and_read_is_the_same(overrides: list[str], tmp_path: Path) -> None:
    config = compose_config(overrides)
    (tmp_path / "config.yaml").write_text(config_yaml(config))
    assert read_config(tmp_path) == config


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        # misspelt
        ("data.bach_size=3", "data.bach_size: there is no option 'data.bach_size'; did you mean 'data.batch_size'?"),
        ("bach_size=3", "bach_size: there is no option 'bach_size'; did you mean 'data.batch_size'?"),
        ("frezze=3", "frezze: there is no option 'frezze'; did you mean 'freeze'?"),
        ("dat=phantom", "dat: there is no option 'dat'; did you mean 'data'?"),
        ("+data.foo=1", "data.foo: there is no option 'data.foo'"),
        ("model={nam: x}", "model: there is no option 'model.nam'; did you mean 'model.name'?"),
        ("data=phantm", "data=phantm: did you mean 'phantom'? the choices are folder, iqothnccd, phantom"),
        ("+data=x", "data=x: the choices are folder, iqothnccd, phantom"),
        ("optimizer=adamx", "optimizer=adamx: did you mean 'adamax'? the choices are adam, adamax, adamw"),
        ("optimizer.options.epss=1", "optimizer.options.epss=1: adamax has no such option, it has betas, eps"),
        ("scheduler.options={gamma: 1}", "scheduler.options.gamma=1: onecycle has no such option, it has pct_start"),
        # of a wrong type
        ("data.batch_size=1.5", "data.batch_size=1.5: must be a whole number >= 1 (images a step)"),
        ("optimizer.lr=abc", "optimizer.lr=abc: must be a number > 0 (learning rate)"),
        ("optimizer.lr='a b'", "optimizer.lr='a b': must be a number > 0"),
        ("seed=", "seed=: must be a whole number >= 0 and <= 4294967295"),
        ("seed=null", "seed=null: must be a whole number"),
        ("freeze=ten", "freeze=ten: must be a whole number >= 0"),
        ("test=maybe", "test=maybe: must be true or false"),
        ("model.head_widths=abc", "model.head_widths=abc: must be a list of whole numbers"),
        ("model.head_widths=[a,b]", "model.head_widths=[a,b]: must be a list of whole numbers"),
        ("data.folders=x", "data.folders=x: must be a mapping of texts"),
        ("optimizer.options.eps=abc", "optimizer.options.eps=abc: must be a number, true or false"),
        ("data.root=[1]", "data.root=[1]: must be a text"),
        # impossible
        ("data.batch_size=0", "data.batch_size=0: must be a whole number >= 1 (images a step)"),
        ("seed=-1", "seed=-1: must be a whole number >= 0"),
        ("seed=4294967296", "seed=4294967296: must be a whole number >= 0 and <= 4294967295"),
        ("freeze=-1", "freeze=-1: must be a whole number >= 0"),
        ("model.head_widths=[0]", "model.head_widths=[0]: every width must be >= 1"),
        ("model.dropout=1", "model.dropout=1.0: must be a number >= 0 and < 1"),
        ("optimizer.lr=nan", "optimizer.lr=nan: must be a number > 0"),
        ("optimizer.lr=inf", "optimizer.lr=inf: must be a number > 0"),
        ("data.cache_gb=inf", "data.cache_gb=inf: must be a number >= 0"),
        ("data.phantom.patients=1", "data.phantom.patients=1: must be a whole number >= 3"),
        (
            "data.train_fraction=0.9",
            "data.train_fraction + data.val_fraction + data.test_fraction = 1.2: they must add up to 1",
        ),
        ("freeze_unit=layr", "freeze_unit=layr: must be one of layer, weighted, stage"),
        (
            "data.split=leaky",
            "data.split=leaky: must be one of auto, grouped, copies, random, folders, manifest, table",
        ),
        ("data.augment=heavy", "data.augment=heavy: must be one of none, flip, light, strong"),
        ("model.activation=mish", "model.activation=mish: must be one of relu, gelu, silu, tanh"),
        ("optimizer.name=lion", "optimizer.name=lion: must be one of adam, adamax, rmsprop, adamw, sgd"),
        ("scheduler.name=warm", "scheduler.name=warm: must be one of constant, cosine, onecycle, step, plateau"),
        ("trainer.precision=bf16", "trainer.precision=bf16: must be one of auto, float32, bfloat16, float16"),
        ("trainer.accelerator=tpu", "trainer.accelerator=tpu: must be one of auto, cpu, gpu, mps"),
        ("patient_score=max", "patient_score=max: must be one of mean, largest"),
        ("patient_score=largest data.positive=null", "patient_score=largest: takes the largest score of the class"),
        ("patient_score=largest data.classes=[benign,normal]", "patient_score=largest: takes the largest score of"),
        ("study=a/b", "study='a/b': it names a folder"),
        ("study=..", "study='..': it names a folder"),
        ("data.patient_pattern=x", "data.patient_pattern=x: has no group"),
        ("data.patient_pattern='('", "data.patient_pattern=(: no regular expression"),
        ("data.folders={a: cyst}", "data.folders: a -> 'cyst': the classes are benign, malignant, normal"),
        # missing or contradictory
        ("data=folder", "data.root is not set: data=folder needs data.root=DIR"),
        ("data=folder data.root=/nope", "data.root=/nope: there is no such folder"),
        ("data.split=manifest", "data.manifest is not set: data.split=manifest needs data.manifest=FILE"),
        ("data.split=manifest data.manifest=/nope", "data.manifest=/nope: there is no such file"),
        ("data.fold=5", "data.fold=5: must be below data.folds=5; folds count from 0"),
        (f"data.fold=0 data.split=manifest data.manifest={__file__}", "data.fold=0: a manifest says its own split"),
        (f"data.manifest={__file__}", "data.manifest is given but data.split=grouped: add data.split=manifest"),
        ("data.subgroups=[sex]", "data.subgroups=['sex']: these are columns of a table: data.patients=FILE or"),
        (
            f"data=folder data.root=. data.patients={__file__} data.subgroups=[class]",
            "data.subgroups: class is a column of every manifest",
        ),
        ("sensitivity=1 sensitivity_confidence=0.9", "sensitivity=1 with sensitivity_confidence: no threshold is sure"),
        ("prevalence=1", "prevalence=1.0: must be a number > 0 and < 1"),
        ("model=torchvision", "model.name is not set: model=torchvision needs model.name=NAME"),
        # not how Hydra reads options
        ("foo", "foo: not to be read as option=value"),
        ("data.root=a=b", "data.root=a=b: not to be read as option=value"),
        ("model.head_widths=[1", "model.head_widths=[1: not to be read as option=value"),
        ("seed=1,2", "seed=1,2: several values, one run for each, need -m"),
        ("freeze=range(1,3)", "freeze=range(1,3): several values, one run for each, need -m"),
        ("~data.batch_size", "~data.batch_size: an option can be set, not taken away"),
        ("freeze=${foo}", "Interpolation key 'foo' not found full_key: freeze"),
    ],
)
def test_a_wrong_option_is_one_line_with_name_value_and_what_is_allowed(
    overrides: str, expected: str, refusal: Any
) -> None:
    words = [overrides] if "'" in overrides or "{" in overrides else overrides.split(" ")
    assert refusal(*words).startswith(expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["data.bach_size=3"], "error: data.bach_size: there is no option 'data.bach_size'; did you mean"),
        (["data.batch_size=1.5"], "error: data.batch_size=1.5: must be a whole number >= 1 (images a step)"),
        (["data.batch_size=0"], "error: data.batch_size=0: must be a whole number >= 1 (images a step)"),
        (["data.val_fraction=0.5"], "error: data.train_fraction + data.val_fraction + data.test_fraction = 1.35:"),
        (["optimizer=adamx"], "error: optimizer=adamx: did you mean 'adamax'?"),
        (["-m", "sead=1,2"], "error: sead: there is no option 'sead'; did you mean 'seed'?"),
        (["optimizer=null"], "error: optimizer=null: the choices are adam, adamax, adamw, rmsprop, sgd"),
        (["optimizer.options.eps=-1"], "error: optimizer.options={'eps': -1}: adamax does not take them"),
        (["--freeze=80"], "error: --freeze=80: options are given without dashes, freeze=VALUE"),
        (["seed=1", "--config-dir=.", "freeze=1"], "error: unrecognized arguments: freeze=1; flags such as -m and"),
        (["--fast"], "error: unrecognized arguments: --fast; python train.py --help lists the options"),
        (["resume=nowhere"], "error: nowhere is no run folder: it has no config.yaml"),
    ],
)
def test_the_command_line_refuses_with_one_line_and_exit_code_2(
    arguments: list[str], expected: str, tmp_path: Path
) -> None:
    done = train(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(expected)
    assert done.stderr.count("\n") == 1
    left = {f.name for f in tmp_path.rglob("*") if f.is_file()}
    assert left <= {"multirun.yaml"}  # Hydra writes it before it composes the first job


def test_a_broken_file_of_conf_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\ndata: {batch_size: [1}\n")
    done = train(tmp_path, f"--config-dir={tmp_path}", "experiment=mine")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "mine.yaml" in done.stderr
    assert "line 2" in done.stderr


def test_a_misspelt_option_in_a_file_of_conf_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\ndata: {bach_size: 1}\n")
    done = train(tmp_path, f"--config-dir={tmp_path}", "experiment=mine")
    assert done.returncode == 2
    assert done.stderr.startswith("error: data.bach_size: there is no option 'data.bach_size'; did you mean")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("group", "text", "more"),
    [
        ("experiment", "freeze: 20\n", []),
        ("hparams_search", "defaults: [{override /hydra/sweeper/sampler: tpe}]\n", ["-m"]),
    ],
)
def test_a_file_of_ones_own_without_its_first_line_is_told_which_line_that_is(
    group: str, text: str, more: list[str], tmp_path: Path
) -> None:
    (tmp_path / group).mkdir()
    (tmp_path / group / "mine.yaml").write_text(text)
    done = train(tmp_path, *more, f"--config-dir={tmp_path}", f"{group}=mine")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {group}=mine: its file has to begin with the line `# @package _global_`")
    assert done.stderr.count("\n") == 1


def test_torch_is_not_imported_before_the_options_are_checked(tmp_path: Path) -> None:
    code = f"""
import runpy, sys
sys.argv = ["train.py", "seed=-1"]
try:
    runpy.run_path({str(TRAIN)!r}, run_name="__main__")
except SystemExit as stop:
    heavy = [m for m in ("torch", "lightning", "torchvision", "numpy", "matplotlib", "wandb") if m in sys.modules]
    print(stop.code, heavy)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "2 []"
    assert "seed=-1" in done.stderr


# --- help ------------------------------------------------------------------------------------------------------------


def test_help_lists_every_group_and_option_with_its_meaning_in_under_two_seconds(tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):  # the fastest of three: this machine may be busy with something else
        began = time.monotonic()
        done = train(tmp_path, "--help")
        seconds.append(time.monotonic() - began)
    assert done.returncode == 0
    assert min(seconds) < 2
    for group in {f.parent.name for f in CONF_FILES} - {"job_logging", "hydra_logging"}:
        (line,) = re.findall(rf"^  {group}= +(.+)$", done.stdout, re.MULTILINE)
        assert line.split(", ") == [f.stem for f in CONF_FILES if f.parent.name == group]
    listed = dict(re.findall(r"^  ([a-z_.]+) +(\S.*) \[.+\]$", done.stdout, re.MULTILINE))
    assert list(listed) == [*all_options()]
    assert all(len(meaning) >= 4 for meaning in listed.values())


# --- resume ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, RunConfig]:
    """A run folder that holds a config."""
    config = compose_config(["freeze=10", "optimizer=rmsprop"])
    (tmp_path / "config.yaml").write_text(config_yaml(config))
    return tmp_path, config


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("freeze=20", "freeze=20 is not what this run was started with (10)"),
        ("optimizer=adam", "optimizer.name=adam is not what this run was started with (rmsprop)"),
        ("experiment=from_scratch", "freeze=0 is not what this run was started with (10)"),
    ],
)
def test_resuming_with_another_option_is_refused(given: str, expected: str, stored: tuple[Path, RunConfig]) -> None:
    folder, _ = stored
    done = train(folder.parent, f"resume={folder}", given)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {expected}")
    assert done.stderr.count("\n") == 1
    assert sorted(f.name for f in folder.iterdir()) == ["config.yaml"]


def test_resuming_with_the_same_options_again_is_not_refused(stored: tuple[Path, RunConfig]) -> None:
    _, config = stored
    same = ["freeze=10", "optimizer=rmsprop", "resume=somewhere"]
    _refuse_changes(replace(compose_config(same[:2]), resume="somewhere"), config, same)
    with pytest.raises(ConfigError, match=r"optimizer\.lr=0\.5 is not"):
        _refuse_changes(compose_config([*same[:2], "optimizer.lr=0.5"]), config, ["optimizer.lr=0.5"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("freeze: [1", "config.yaml: while parsing"),
        ("frezze: 1", "config.yaml: frezze: there is no option 'frezze'; did you mean 'freeze'?"),
        ("freeze: many", "config.yaml: freeze: must be a whole number >= 0"),
        ("seed: 3", "config.yaml: freeze: must be a whole number >= 0"),
    ],
)
def test_a_run_folder_with_a_config_that_is_not_ours_is_named(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ConfigError) as error:
        read_config(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/{expected}")
    assert "\n" not in str(error.value)
