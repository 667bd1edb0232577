"""Compressed DICOM pixels by imagecodecs (BSD), a plugin of pydicom: what pydicom itself only reads by GPL libraries.

Follows pydicom's guide to decoder plugins. `frostline[dicom]` installs imagecodecs.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

_CODECS = {
    uid.JPEGExtended12Bit: "jpeg_decode",
    uid.JPEGLossless: "jpeg_decode",
    uid.JPEGLosslessSV1: "jpeg_decode",
    uid.JPEGLSLossless: "jpegls_decode",
    uid.JPEGLSNearLossless: "jpegls_decode",
    uid.HTJ2KLossless: "htj2k_decode",
    uid.HTJ2KLosslessRPCL: "htj2k_decode",
    uid.HTJ2K: "htj2k_decode",
}
DECODER_DEPENDENCIES = dict.fromkeys(_CODECS, ("imagecodecs>=2024.6",))
_NOT_ABOVE_8_BITS = {"pillow", "gdcm"}  # pydicom lists them for JPEG Extended, and refuses 12 bits when it decodes


def is_available(syntax: str) -> bool:
    """Whether imagecodecs is installed; pydicom asks."""
    return syntax in _CODECS and find_spec("imagecodecs") is not None


def decode(src: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame for pydicom. Raises ValueError for another shape than the header says."""
    codecs: Any = import_module("imagecodecs")  # slow to import, and rarely needed
    pixels: np.ndarray = getattr(codecs, _CODECS[uid.UID(runner.transfer_syntax)])(src)
    expected = (runner.rows, runner.columns, runner.samples_per_pixel)
    if pixels.shape != (expected if expected[2] > 1 else expected[:2]):
        raise ValueError(f"decoded to {pixels.shape}, but the header says {expected}")
    runner.set_option("bits_allocated", pixels.dtype.itemsize * 8)
    runner.set_option("planar_configuration", 0)
    return pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()


def has_decoder(syntax: str, bits: int) -> bool:
    """Whether pixels of a transfer syntax and `bits` a sample can be decoded with what is installed."""
    plugins = set(get_decoder(syntax).available_plugins)
    if syntax == uid.JPEGExtended12Bit and bits > 8:
        plugins -= _NOT_ABOVE_8_BITS
    return bool(plugins) or not uid.UID(syntax).is_encapsulated


def register() -> None:
    """Make pydicom use this module, after its own decoders."""
    for syntax in _CODECS:
        decoder = get_decoder(syntax)
        if "frostline" not in {*decoder.available_plugins, *decoder.missing_dependencies}:
            decoder.add_plugin("frostline", (__name__, "decode"))
