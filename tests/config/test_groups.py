"""What may be chosen: ours, and the user's own beside it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from frostline.config.compose import compose_config
from frostline.config.groups import choices_of, help_page, list_groups, own_choices
from frostline.config.messages import explain


def test_choices_of_the_users_own_directory_are_listed_beside_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text("name: sgd\nlr: 0.01\n")
    for arguments in (
        [f"--config-dir={tmp_path}"],
        ["--config-dir", str(tmp_path)],
        [f"hydra.searchpath=[/no/where, file://{tmp_path}]"],
    ):
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        assert choices_of("optimizer") == ["adam", "adamax", "adamw", "mine", "rmsprop", "sgd"]
        assert re.search(r"optimizer= .*adamw, mine, rmsprop", help_page())
    with pytest.raises(Exception) as refused:  # noqa: PT011  # Hydra's
        compose_config([f"hydra.searchpath=[file://{tmp_path}]", "optimizer=min"])
    answer = explain(refused.value)
    assert "did you mean 'mine'?" in answer
    assert "adamw, mine, rmsprop" in answer
    assert "mine" not in own_choices("optimizer")


def test_a_group_of_the_users_own_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "phase2").mkdir()
    (tmp_path / "phase2" / "best.yaml").write_text("freeze: 3\n")
    (tmp_path / "empty").mkdir()
    before = list_groups()
    monkeypatch.setattr(sys, "argv", ["train.py", f"--config-dir={tmp_path}"])
    assert {*list_groups()} - {*before} == {"phase2"}
