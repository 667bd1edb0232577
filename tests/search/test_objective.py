"""A trial says why it failed."""

from __future__ import annotations

import pytest
import torch

from frostline.config.compose import compose_config
from frostline.errors import FrostlineError
from frostline.search.objective import why_failed
from frostline.training.module import Diverged


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried"),
            "memory",
            "batch 12 at 64 px does not fit",
        ),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory", "batch 12"),
        (MemoryError(), "memory", "batch 12"),
        (Diverged("the train loss is nan"), "diverged", "the train loss is nan"),
        (FrostlineError("split val is empty"), "error", "split val is empty"),
        (KeyError("x"), "error", "KeyError: 'x'"),
    ],
)
def test_a_batch_that_does_not_fit_is_told_apart_from_a_bug(error: Exception, kind: str, text: str) -> None:
    found = why_failed(error, compose_config([]))
    assert found[0] == kind
    assert text in found[1]
