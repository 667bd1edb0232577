"""A trained network as ONNX: weights in the graph, all else that its use needs in the file's metadata."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from frostline.errors import FrostlineError, first_line
from frostline.inference.network import Network
from frostline.inference.record import RECORD, damaged_in_a_line, read_record

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]  # it ships no types

SUFFIX = ".onnx"
FAMILIAR = f"{RECORD}.familiar"  # tensors, as base64 of safetensors
INPUT, LOGITS, FEATURES = "images", "logits", "features"


@dataclass(frozen=True)
class OnnxNetwork(Network):
    """Run by ONNX Runtime; torch's weights are not needed."""

    session: InferenceSession

    def compute(self, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """As `Network.compute`."""
        logits, features = self.session.run([LOGITS, FEATURES], {INPUT: images.cpu().numpy().astype(np.float32)})
        return torch.from_numpy(logits).softmax(-1).numpy(), features


def metadata_of(record: Mapping[str, Any]) -> dict[str, str]:
    """A checkpoint's record as texts."""
    familiar = record.get("familiar")
    plain = {name: value for name, value in record.items() if name != "familiar"}
    if familiar is None:
        return {RECORD: json.dumps(plain)}
    tensors = {name: value.contiguous() for name, value in familiar.items() if isinstance(value, Tensor)}
    plain["familiar"] = {name: value for name, value in familiar.items() if name not in tensors}
    return {RECORD: json.dumps(plain), FAMILIAR: base64.b64encode(save(tensors)).decode()}


def record_of(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The record out of texts. Raises whatever damaged ones make Python raise."""
    record: dict[str, Any] = json.loads(metadata[RECORD])
    if FAMILIAR in metadata:
        record["familiar"] |= load(base64.b64decode(metadata[FAMILIAR], validate=True))
    return record


def load_onnx(file: Path) -> OnnxNetwork:
    """Read an ONNX file that `frostline export` made. Nothing in it is executed but the graph.

    Raises `FrostlineError` for a file that is missing, damaged, none of ours, or that asks for other files.
    """
    runtime, onnx = need_onnx()
    if not file.is_file():
        raise FrostlineError(f"{file}: there is no such file; frostline export makes one of a checkpoint")
    try:
        content = file.read_bytes()
        model = onnx.load_model_from_string(content)
        if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
            raise ValueError("it asks for weights in other files")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # it is said here, in a line
        options.intra_op_num_threads = torch.get_num_threads()
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
    except Exception as error:  # protobuf and ONNX Runtime raise half a dozen types for damaged or hostile files
        raise FrostlineError(f"{file}: no ONNX file that can be used ({first_line(error)[:120]})") from None
    if RECORD not in metadata:
        raise FrostlineError(f"{file}: an ONNX file of another program; frostline export makes ours")
    with damaged_in_a_line(file):
        record = record_of(metadata)
        outputs = {output.name: output.shape for output in session.get_outputs()}
        known = read_record(record, int(outputs[FEATURES][-1]))
        if outputs[LOGITS][-1] != len(known.task):
            raise ValueError(f"{outputs[LOGITS][-1]} outputs for {len(known.task)} classes")
        inputs = {i.name: i.shape[1:] for i in session.get_inputs()}
        if inputs != {INPUT: [1, known.image_size, known.image_size]}:
            raise ValueError("inputs that are none of ours, or of another size than it says")
    return OnnxNetwork(**vars(known), file=file, session=session)


def need_onnx() -> tuple[Any, Any]:
    """ONNX Runtime and onnx. Raises `FrostlineError` where they are not installed."""
    try:
        import onnx
        import onnxruntime
    except ImportError:
        raise FrostlineError("ONNX takes onnx and onnxruntime: pip install 'frostline[onnx]'") from None
    return onnxruntime, onnx
