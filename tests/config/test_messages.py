"""What goes wrong at the command line is one line that leads on."""

from __future__ import annotations

from pathlib import Path

import pytest

from frostline.config.compose import compose_config
from frostline.config.groups import list_groups
from frostline.config.messages import explain
from frostline.config.options import list_options
from frostline.config.other_names import OTHER_NAMES
from frostline.config.schema import RunConfig


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
    options, groups = list_options(RunConfig), list_groups()
    for other, here in OTHER_NAMES.items():
        assert other not in options, other
        key = here.removeprefix("-m '").split("=")[0]
        assert key in options or key in groups, here
