"""Compressed DICOM: what is decoded, and what a missing decoder says."""

from pathlib import Path

import numpy as np
import pydicom.uid
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    RLELossless,
)

from tests.data.image_files import HU, WIDTH, ct_dataset, fails, read, windowed


def test_rle_compressed_dicom_is_read(tmp_path: Path) -> None:
    data = ct_dataset(HU)
    data.compress(RLELossless)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_allclose(read(tmp_path / "a.dcm"), windowed(HU), atol=1e-6)


@pytest.mark.parametrize("syntax", ["JPEGLosslessSV1", "JPEGLSLossless", "JPEGExtended12Bit"])
def test_a_transfer_syntax_without_decoder_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str
) -> None:
    uid: UID = getattr(pydicom.uid, syntax)
    able = {"pillow": None} if syntax == "JPEGExtended12Bit" else {}  # Pillow reads 8 bits only
    monkeypatch.setattr(get_decoder(uid), "_available", able)
    data = ct_dataset(HU)
    data.compress(RLELossless)
    data.file_meta.TransferSyntaxUID = uid
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    fails(tmp_path / "a.dcm", r"no decoder for JPEG.*pip install .*\[dicom\]")


@pytest.mark.parametrize("codec", ["JPEGExtended12Bit", "JPEGLossless", "JPEGLosslessSV1", "JPEGLSLossless"])
def test_the_extra_decodes_what_pydicom_alone_does_not(tmp_path: Path, codec: str) -> None:
    codecs = pytest.importorskip("imagecodecs", reason="needs frostline[dicom]")
    hu = (np.add.outer(np.arange(64), np.arange(64)) * 20 - 1000).astype(np.int16)
    stored = (hu + 1024).astype(np.uint16)
    encoded = {
        "JPEGExtended12Bit": lambda: codecs.jpeg_encode(stored, level=99, bitspersample=12),
        "JPEGLossless": lambda: codecs.jpeg_encode(stored, lossless=True, predictor=6, bitspersample=12),
        "JPEGLosslessSV1": lambda: codecs.ljpeg_encode(stored, bitspersample=12),
        "JPEGLSLossless": lambda: codecs.jpegls_encode(stored),
    }[codec]()
    data = ct_dataset(stored, BitsStored=12, HighBit=11, RescaleIntercept="-1024", PixelData=encapsulate([encoded]))
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = getattr(pydicom.uid, codec)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_allclose(read(tmp_path / "a.dcm"), windowed(hu), atol=5 / WIDTH)
