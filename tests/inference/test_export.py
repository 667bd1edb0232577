"""An exported network says what its checkpoint says, carries all that its use needs, and is refused when it is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from frostline.errors import ConfigError, FrostlineError
from frostline.inference.ensemble import load_ensemble
from frostline.inference.export import export_checkpoint
from frostline.inference.network import load_network
from frostline.inference.onnx_network import FAMILIAR, load_onnx
from frostline.inference.record import RECORD
from frostline.runs.folder import RunFolder
from tests.conftest import Frostline, Run


@pytest.fixture(scope="module")
def exported(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("exported") / "model.onnx"
    said = export_checkpoint(tiny_run.folder, file, int8=False)
    assert "on 6 validation images" in said
    return file


def test_it_says_the_same_for_any_number_of_images(tiny_run: Run, exported: Path) -> None:
    trained, other = load_network(RunFolder(tiny_run.folder).best_checkpoint), load_onnx(exported)
    for count in (1, 3, 17):
        images = torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(count))
        a, b = trained.say(images, 0.9), other.say(images, 0.9)
        assert b.probabilities == pytest.approx(a.probabilities, abs=1e-4)
        assert (a.sets == b.sets).all()
        assert a.unlike is not None
        assert b.unlike == pytest.approx(a.unlike, abs=1e-2)
    for name in ("task", "image_size", "reading", "temperature", "threshold", "scores", "finished"):
        assert getattr(other, name) == getattr(trained, name), name


def test_predict_takes_it_alone_and_beside_a_checkpoint(
    tiny_run: Run, exported: Path, tmp_path: Path, frostline: Frostline
) -> None:
    rng = np.random.default_rng(0)
    from PIL import Image

    for i in range(3):
        Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    tables = []
    for networks in ([str(tiny_run.folder)], [str(exported)], [str(exported), str(tiny_run.folder)]):
        out = tmp_path / "answers.csv"
        code, _, error = frostline("predict", *networks, str(tmp_path / "*.png"), "--out", str(out))
        assert (code, error) == (0, "")
        tables.append(out.read_text().splitlines())
    assert tables[0][0] == tables[1][0]
    assert "disagreement" in tables[2][0]
    p = [[float(row.split(",")[3]) for row in table[1:]] for table in tables]
    assert p[1] == pytest.approx(p[0], abs=1e-4)
    assert p[2] == pytest.approx(p[0], abs=1e-4)


def test_torch_export_is_checked_too_and_carries_the_record(tiny_run: Run, tmp_path: Path) -> None:
    file = tmp_path / "model.pt2"
    export_checkpoint(RunFolder(tiny_run.folder).best_checkpoint, file, int8=False)
    extra = {f"{RECORD}.json": ""}
    module = torch.export.load(file, extra_files=extra).module()
    assert json.loads(extra[f"{RECORD}.json"])["classes"] == ["benign", "malignant", "normal"]
    logits, _ = module(torch.rand(5, 1, 32, 32))
    assert logits.shape == (5, 3)


def test_eight_bits_say_what_they_cost(tiny_run: Run, exported: Path, tmp_path: Path) -> None:
    file = tmp_path / "small.onnx"
    said = export_checkpoint(tiny_run.folder, file, int8=True)
    assert "of 6 validation images are right" in said
    assert file.stat().st_size < 0.5 * exported.stat().st_size
    assert load_onnx(file).compute(torch.rand(2, 1, 32, 32))[0].sum(1) == pytest.approx([1, 1], abs=1e-5)
    assert [f.name for f in tmp_path.iterdir()] == ["small.onnx"]


def test_a_checkpoint_alone_is_checked_on_drawn_images(tiny_run: Run, tmp_path: Path) -> None:
    shutil.copy(RunFolder(tiny_run.folder).best_checkpoint, tmp_path / "alone.ckpt")
    assert "on 32 drawn images" in export_checkpoint(tmp_path / "alone.ckpt", tmp_path / "a.onnx", int8=False)
    with pytest.raises(FrostlineError, match="takes the run's images"):
        export_checkpoint(tmp_path / "alone.ckpt", tmp_path / "b.onnx", int8=True)
    assert not (tmp_path / "b.onnx").exists()


def test_a_file_that_says_something_else_is_not_kept(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frostline.inference.export.NEAR", -1.0)
    with pytest.raises(FrostlineError, match="not kept"):
        export_checkpoint(tiny_run.folder, tmp_path / "model.onnx", int8=False)
    assert [*tmp_path.iterdir()] == []


def test_a_hostile_damaged_or_foreign_file_gets_one_line(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(str(exported))
    whole = {p.key: p.value for p in model.metadata_props}

    def with_metadata(**changed: str) -> bytes:
        onnx.helper.set_model_props(model, {**whole, **changed})
        return bytes(model.SerializeToString())

    record = json.loads(whole[RECORD])
    foreign = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", ["x"], ["y"])],
            "g",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
        ),
        ir_version=10,
        opset_imports=[onnx.helper.make_opsetid("", 18)],
    )
    outside = onnx.load(str(exported))
    tensor = outside.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    files = {
        b"": "no ONNX file|another program",
        b"no protobuf at all": "no ONNX file",
        exported.read_bytes()[:1000]: "no ONNX file",
        foreign.SerializeToString(): "another program",
        outside.SerializeToString(): "weights in other files",
        with_metadata(**{RECORD: "{"}): "damaged",
        with_metadata(**{RECORD: json.dumps({**record, "classes": ["a", "b"], "positive": None})}): "damaged",
        with_metadata(**{RECORD: json.dumps({**record, "image_size": 10**9})}): "damaged",
        with_metadata(**{FAMILIAR: "no base64!"}): "damaged",
    }
    for i, (content, message) in enumerate(files.items()):
        file = tmp_path / f"{i}.onnx"
        file.write_bytes(content)
        with pytest.raises(FrostlineError, match=message) as told:
            load_ensemble([file])
        assert "\n" not in str(told.value)
    with pytest.raises(FrostlineError, match="no such file"):
        load_ensemble([tmp_path / "none.onnx"])


def test_where_it_cannot_go_is_told(tiny_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.onnx or \.pt2"):
        export_checkpoint(tiny_run.folder, tmp_path / "model.pb", int8=False)
    with pytest.raises(ConfigError, match="no checkpoint"):
        export_checkpoint(tmp_path, tmp_path / "model.onnx", int8=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(FrostlineError, match="cannot be written"):
        export_checkpoint(tiny_run.folder, tmp_path / "file" / "model.onnx", int8=False)
