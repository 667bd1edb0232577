"""`frostline export`: a checkpoint as ONNX or as torch.export's file, checked against the network itself."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from frostline.config.compose import read_config
from frostline.data.cache import load_image
from frostline.data.dataset import data_root
from frostline.data.manifest import Example, read_manifest
from frostline.errors import ConfigError, FrostlineError
from frostline.inference.command import find_checkpoints
from frostline.inference.network import TrainedNetwork, load_network
from frostline.inference.onnx_network import FEATURES, INPUT, LOGITS, SUFFIX, load_onnx, metadata_of, need_onnx
from frostline.inference.record import RECORD
from frostline.models.classifier import SliceClassifier
from frostline.runs.folder import RunFolder
from frostline.text import percent

EXPORTED = ".pt2"
NEAR = 1e-4  # by which a probability may differ
DRAWN = 32  # images, where those of validation are gone
CALIBRATED = 128  # training images that choose the ranges of int8
AT_ONCE = 16

Probabilities = Callable[[Tensor], np.ndarray]


class _Whole(nn.Module):
    """Logits and features in one pass."""

    def __init__(self, network: SliceClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.features(images)
        return self.network.head(features), features


def export_checkpoint(checkpoint: Path, out: Path, int8: bool) -> str:
    """Write `out`, .onnx or .pt2, and check it; returns what to tell of it.

    Raises `ConfigError` for another suffix, `FrostlineError` for no checkpoint, a file that cannot be written, and one
    that says something else than the network: then there is no file.
    """
    if out.suffix not in (SUFFIX, EXPORTED):
        raise ConfigError(f"{out}: must end in {SUFFIX} or {EXPORTED}")
    if int8 and out.suffix != SUFFIX:
        raise ConfigError("--int8 goes with .onnx")
    found = find_checkpoints(checkpoint)
    if len(found) != 1:
        raise ConfigError(f"{checkpoint}: {'several networks' if found else 'no checkpoint (.ckpt), and no run'}; one")
    trained = load_network(found[0])
    trained.network.to("cpu").to(memory_format=torch.contiguous_format)
    images, kind = _images(found[0], trained, "val")
    partial = out.with_name(f".{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write = _write_onnx if out.suffix == SUFFIX else _write_exported
        probabilities = write(trained, partial)
        apart = float(np.abs(probabilities(images) - trained.compute(images)[0]).max())
        if not apart <= NEAR:
            raise FrostlineError(
                f"{out}: its probabilities are {apart:.1e} apart from the network's, so it is not kept"
            )
        before = "in 32 bits " if int8 else ""
        lines = [f"{before}probabilities differ by {apart:.1e} at most, on {len(images)} {kind} images"]
        if int8:
            lines.append(_to_int8(found[0], trained, partial))
        partial.replace(out)
    except OSError as error:
        raise FrostlineError(f"{out}: cannot be written ({error.strerror or error})") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return "\n".join([f"{out}: {out.stat().st_size / 1e6:.0f} MB, classes {', '.join(trained.task.classes)}", *lines])


def _write_onnx(trained: TrainedNetwork, file: Path) -> Probabilities:
    _, onnx = need_onnx()
    example = torch.zeros(2, 1, trained.image_size, trained.image_size)
    batch = torch.export.Dim("batch", min=1, max=4096)
    with _quiet():
        program = torch.onnx.export(
            _Whole(trained.network).eval(),
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[LOGITS, FEATURES],
            dynamic_shapes={INPUT: {0: batch}},
        )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, metadata_of(trained.record))
    file.write_bytes(model.SerializeToString())
    return lambda x: load_onnx(file).compute(x)[0]


def _write_exported(trained: TrainedNetwork, file: Path) -> Probabilities:
    example = torch.zeros(2, 1, trained.image_size, trained.image_size)
    batch = torch.export.Dim("batch", min=1, max=4096)
    plain = {name: value for name, value in trained.record.items() if name != "familiar"}
    with _quiet():
        program = torch.export.export(_Whole(trained.network).eval(), (example,), dynamic_shapes={INPUT: {0: batch}})
        content = io.BytesIO()
        torch.export.save(program, content, extra_files={f"{RECORD}.json": json.dumps(plain)})
    file.write_bytes(content.getvalue())
    module = program.module()
    return lambda x: module(x)[0].detach().softmax(-1).numpy()


def _to_int8(checkpoint: Path, trained: TrainedNetwork, file: Path) -> str:
    """Put weights and values of the ONNX `file` into 8 bits, by training images; returns what that costs."""
    from onnxruntime.quantization import (  # type: ignore[import-untyped]  # it ships no types
        CalibrationDataReader,
        QuantFormat,
        quantize_static,
    )

    examples, load = _listed(checkpoint, trained)
    if not examples:
        raise FrostlineError(f"--int8 takes the run's images, to choose ranges by: they are not beside {checkpoint}")
    training = [e for e in examples if e.split == "train"]
    chosen = [training[i] for i in np.random.default_rng(0).permutation(len(training))[:CALIBRATED]]

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # it ships no types
        def __init__(self) -> None:
            self._left = iter(chosen)

        def get_next(self) -> dict[str, np.ndarray] | None:
            example = next(self._left, None)
            return None if example is None else {INPUT: load(example)[None].numpy()}

    val = [e for e in examples if e.split == "val"]
    images, true = torch.stack([load(e) for e in val]), np.array([trained.task.index(e.label) for e in val])
    before = _right(load_onnx(file).compute, images, true)
    whole = file.with_name(f"{file.name}.float")
    file.replace(whole)
    try:
        with _quiet():
            quantize_static(whole, file, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True)
    finally:
        whole.unlink(missing_ok=True)
    after = _right(load_onnx(file).compute, images, true)
    return (
        f"in 8 bits {after} of {len(true)} validation images are right ({percent(after / len(true))}), {before} "
        f"({percent(before / len(true))}) before; probabilities, sets and threshold were made for the network before"
    )


def _right(compute: Callable[[Tensor], tuple[np.ndarray, np.ndarray]], images: Tensor, true: np.ndarray) -> int:
    parts = [compute(images[i : i + AT_ONCE])[0].argmax(1) for i in range(0, len(images), AT_ONCE)]
    return int((np.concatenate(parts) == true).sum())


def _images(checkpoint: Path, trained: TrainedNetwork, split: str) -> tuple[Tensor, str]:
    """Some images of the run's `split`, else drawn ones; and which."""
    examples, load = _listed(checkpoint, trained)
    of = [e for e in examples if e.split == split][:DRAWN]
    if of:
        return torch.stack([load(e) for e in of]), "validation"
    size = trained.image_size
    return torch.rand(DRAWN, 1, size, size, generator=torch.Generator().manual_seed(0)), "drawn"


def _listed(checkpoint: Path, trained: TrainedNetwork) -> tuple[list[Example], Callable[[Example], Tensor]]:
    """The images of the checkpoint's run, where they are still there, and how one is read."""
    folder = RunFolder(checkpoint.parent)
    try:
        config = read_config(folder.path)
        examples = read_manifest(folder.manifest)
        root = data_root(config.data, Path(config.logs_dir) / "cache")
    except (FrostlineError, OSError):
        return [], lambda _: torch.empty(0)
    there = [e for e in examples if (root / e.path).is_file()]
    return there, lambda e: load_image(root / e.path, trained.image_size, trained.reading)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters tell of themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
