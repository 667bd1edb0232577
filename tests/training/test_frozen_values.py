"""What frozen layers made of images is shared by runs: found again bit for bit, never mistaken, never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from frostline.data.shared import SharedTensors, make_room
from frostline.models.backbones import build_backbone
from frostline.training.frozen_values import AT_ONCE, stacked
from tests.training.test_frozen_part import run

VALUES = (torch.randn(3, 4, 4).to(torch.bfloat16), torch.randn(2))


def test_values_come_back_bit_for_bit(tmp_path: Path) -> None:
    shared = SharedTensors(tmp_path)
    assert shared.find("aa") is None
    shared.put("aa", VALUES)
    found = shared.find("aa")
    assert found is not None
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(found, VALUES, strict=True))


def test_an_image_without_a_checksum_is_not_shared(tmp_path: Path) -> None:
    SharedTensors(tmp_path).put("", VALUES)
    assert not [*tmp_path.iterdir()]
    assert SharedTensors(tmp_path).find("") is None


@pytest.mark.parametrize("damage", [b"", b"no tensors at all", None])
def test_damaged_values_are_not_there(tmp_path: Path, damage: bytes | None) -> None:
    shared = SharedTensors(tmp_path)
    shared.put("aa", VALUES)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-10] if damage is None else damage)
    assert shared.find("aa") is None


def test_a_folder_that_cannot_be_written_to_costs_time_alone(tmp_path: Path) -> None:
    (tmp_path / "values").write_text("a file where the folder would be")
    SharedTensors(tmp_path / "values").put("aa", VALUES)
    assert not make_room(tmp_path / "values", 1, 10)


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "old", "older")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.safetensors").write_bytes(b"1234")
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert not make_room(tmp_path / "own", 20, 10)
    assert len([*tmp_path.iterdir()]) == 3
    assert make_room(tmp_path / "own", 2, 10)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["new", "old", "own"]
    assert make_room(tmp_path / "old", 4, 10)  # its own files are those that are needed
    assert sorted(f.name for f in tmp_path.iterdir()) == ["new", "old", "own"]


def test_always_as_many_images_are_computed_at_once() -> None:
    images = [torch.ones(1, 4, 4)] * 3
    assert stacked(images).shape == (AT_ONCE, 1, 4, 4)
    assert stacked(images).sum() == 3 * 16


def test_runs_of_other_seeds_and_heads_find_what_the_first_one_made(logs_dir: Path, tmp_path: Path) -> None:
    options = ("freeze=52", "data.augment=flip", "model.weights=" + str(weights(tmp_path)))
    first = run(tmp_path / "first", logs_dir, *options)
    made = {f: f.stat().st_mtime_ns for f in (logs_dir / "cache" / "frozen").rglob("*.safetensors")}
    assert made
    run(tmp_path / "other", logs_dir, *options, "seed=3", "model.head_widths=[]", "data.batch_size=8")
    again = run(tmp_path / "again", logs_dir, *options)
    now = {f: f.stat().st_mtime_ns for f in (logs_dir / "cache" / "frozen").rglob("*.safetensors")}
    assert now == made
    assert again.read_metrics()["val/loss"] == first.read_metrics()["val/loss"]
    run(tmp_path / "deeper", logs_dir, *options, "freeze=70")
    assert len([*(logs_dir / "cache" / "frozen").rglob("*.safetensors")]) > len(made)


def weights(folder: Path) -> Path:
    """A file of weights, so that the frozen layers of all seeds are the same."""
    torch.manual_seed(0)
    net, _ = build_backbone("resnet18")
    torch.save(net.state_dict(), folder / "weights.pt")
    return folder / "weights.pt"
