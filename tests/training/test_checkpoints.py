"""A checkpoint carries what it tells apart, and refuses to be anything else."""

from __future__ import annotations

import pytest
import torch

from frostline.errors import FrostlineError
from frostline.training.checkpoints import RECORD, refuse_other_classes
from tests.conftest import Run


def test_a_checkpoint_carries_its_classes_and_refuses_others(tiny_run: Run) -> None:
    checkpoint = torch.load(tiny_run.folder / "model.ckpt", weights_only=True)
    assert checkpoint[RECORD]["classes"] == ["benign", "malignant", "normal"]
    assert checkpoint[RECORD]["positive"] == "malignant"
    refuse_other_classes({"classes": ["benign", "malignant", "normal"]}, checkpoint)
    for others in (["cyst", "tumour"], ["normal", "malignant", "benign"]):
        with pytest.raises(FrostlineError, match="to tell apart benign, malignant, normal; these data have"):
            refuse_other_classes({"classes": others}, checkpoint)
