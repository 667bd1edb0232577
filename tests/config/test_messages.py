"""What goes wrong at the command line is one line that leads on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from frostline.config.compose import compose_config
from frostline.config.groups import all_options, list_groups
from frostline.config.messages import check_flags, explain, quote_override
from frostline.config.other_names import OTHER_NAMES
from frostline.errors import ConfigError


def message(*overrides: str) -> str:
    with pytest.raises(Exception) as refused:  # noqa: PT011  # Hydra's and OmegaConf's, of several types
        compose_config(overrides)
    return explain(refused.value)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("hydra/launcher=bar", "hydra/launcher=bar: did you mean"),
        ("hydra/sweeper/sampler=foo", "the choices are cmaes, "),
        ("data=own/folder", "data=own/folder: did you mean 'folder'? the choices are folder, iqothnccd, phantom"),
        ("optimizer=adamm", "the choices are adam, adamax, adamw, rmsprop, sgd"),
        ("model=resnet50", "model=torchvision model.name=resnet50"),
        ("lr=0.1", "there is no option 'lr'; here it is optimizer.lr=RATE"),
        ("trainer.device=cuda", "here it is trainer.accelerator=gpu"),
        ("data.path=x", "here it is data.root=DIR"),
        ("seeds=3", "here it is -m 'seed=range(N)'"),
        ("optimizer.learning_rate=1", "here it is optimizer.lr=RATE"),
        ("model.pretrained=true", "here it is model.weights=imagenet"),
        ("ckpt_path=x", "here it is resume=RUN_FOLDER"),
        ("data.bach_size=3", "did you mean 'data.batch_size'?"),
    ],
)
def test_a_wrong_word_is_answered_with_what_to_type(override: str, expected: str) -> None:
    said = message(override)
    assert expected in said
    assert "\n" not in said


def test_a_folder_given_as_a_choice_is_answered_with_the_options_for_it(tmp_path: Path) -> None:
    assert message(f"data={tmp_path}").endswith(f"data=folder data.root={tmp_path}")


def test_other_names_are_no_options_here_and_lead_to_some() -> None:
    options, groups = all_options(), list_groups()
    for other, here in OTHER_NAMES.items():
        assert other not in options, other
        key = re.split("[=,]", here.removeprefix("-m '"))[0]
        assert key in options or key in groups, here


@pytest.mark.parametrize(
    ("override", "argument"),
    [
        ("data.patient_pattern=(P[0-9]+)", """'data.patient_pattern="(P[0-9]+)"'"""),
        ("data.patient_pattern=[0-9]+(a)", """'data.patient_pattern="[0-9]+(a)"'"""),
        ("data.root=my images (old)/x", """'data.root="my images (old)/x"'"""),
        ('data.root=a"b(c', """'data.root="a\\"b(c"'"""),
        ("data.patient_pattern=[a-z]", """'data.patient_pattern="[a-z]"'"""),
    ],
)
def test_a_value_with_brackets_is_answered_with_the_corrected_argument(override: str, argument: str) -> None:
    answer = message(override)
    assert argument in answer
    corrected = shlex.split(argument)[0]
    with pytest.raises(ConfigError) as refused:  # read as a text: what is wrong now is the value itself
        compose_config([corrected, "data=folder"])
    assert "not to be read" not in str(refused.value)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("help", "--help"),
        ("version", "--version"),
        ("no/folder", "not to be read as option=value; "),
    ],
)
def test_a_word_that_is_no_option_is_answered(word: str, expected: str) -> None:
    assert expected in message(word)


def test_a_folder_alone_is_answered_with_the_options_for_it(tmp_path: Path) -> None:
    assert message(str(tmp_path)).endswith(f"data=folder data.root={tmp_path}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-m", "--cfg", "hydra"], "leave out -m"),
        (["--experimental-rerun=missing"], "resume=DIR"),
        (["-m", "freeze=0,10", "hydra/sweeper=basic"], "studies are run by frostline's own sweeper"),
        (["--frezze"], "--help lists the options"),
        (["--freeze=3"], "freeze=VALUE"),
        (["--epochs", "3"], "--epochs: here it is trainer.max_epochs=N, without dashes"),
        (["--batch-size=3"], "here it is data.batch_size=N"),
        (["hparams_search=phase1"], "python train.py -m hparams_search=phase1"),
        (["freeze=3", "-m", "seed=1"], "come before all options"),
    ],
)
def test_flags_that_cannot_be_are_told_in_one_line(arguments: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_flags(arguments)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.text(alphabet=st.sampled_from("ab \\\"'=,()[]{}:/éü#~*"), max_size=8))
def test_a_quoted_value_is_read_as_it_was(value: str) -> None:
    read = OverridesParser.create().parse_override(quote_override("data.root", value)).value()
    assert getattr(read, "text", read) == value
