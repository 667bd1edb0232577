"""From values to grey, and whether the values can be what they are taken for: one check for all readers."""

from typing import Any

import numpy as np
import numpy.typing as npt

from frostline.data.reading import LeftOut, Reading, UnreadableImage

Array = npt.NDArray[Any]
BODY = (-1500, 3100)  # HU: air with its noise to dense bone; most of a slice lies there
HIGHEST = 32767  # HU: metal reaches about 30,700 on extended scales (12 bits, slope 10)
WRAPPED = 60000  # above lie the negative values of signed 16 bits that are taken for unsigned: 63536 is -2000
PADDING_VALUES = 4  # so few distinct values below BODY are padding (-2000, -3024, -32768), more are measured
FEW = 4096  # of 65,536 values: the range of 12 bits
SCALE = "if they are grey, scale them to 16 bits on export"


def window(values: Array, reading: Reading) -> Array:
    """Map values to 0..1: (x - center) / width + 0.5, clipped: LINEAR_EXACT of DICOM PS3.3 C.11.2.1.3.2."""
    grey = values.astype(np.float64)  # a copy, so that the rest works in place
    grey -= reading.window_center
    grey /= reading.window_width
    grey += 0.5
    return np.clip(grey, 0, 1, out=grey)


def check_hu(values: Array, remedy: str) -> None:
    """Refuse values, without declared padding, that no CT slice has. A slice of air alone is one.

    `remedy` says what helps when no value is negative. Raises UnreadableImage.
    """
    if not values.size:
        raise LeftOut("empty", "every pixel is padding")
    check_finite(values)
    low, high = values.min(), values.max()
    if low >= 0 and high <= WRAPPED:
        raise UnreadableImage(f"no negative value, so not in HU: {remedy}")
    if high > HIGHEST:
        unsigned = "; signed pixels were probably declared unsigned (Pixel Representation)" if high > WRAPPED else ""
        raise UnreadableImage(f"values up to {high:.0f} HU, which no CT has{unsigned}")
    if low >= BODY[0] and high <= BODY[1]:
        return
    rest = values[values >= BODY[0]]
    if values.size - rest.size and len(np.unique(values[values < BODY[0]])) > PADDING_VALUES:
        rest = values
    if 2 * np.count_nonzero((rest >= BODY[0]) & (rest <= BODY[1])) < max(rest.size, 1):
        raise UnreadableImage(
            f"values of {low:.0f} to {high:.0f}, most of them nothing that air or a body has in HU: "
            "wrong rescale or wrong data.values_offset?"
        )


def check_grey(stored: Array, largest: float) -> None:
    """Refuse grey values of more than 8 bits that use a few percent of what their type holds: they come out flat.

    `largest` is the value that stands for white. An image of one value is kept. Raises UnreadableImage.
    """
    check_finite(stored)
    scale = 65535 / largest
    low, high = (round(float(value) * scale) for value in (stored.min(), stored.max()))
    some = stored.ravel()[:: stored.size // 16384 | 1]  # odd, so that it meets all columns; enough for percentiles
    bulk_low, bulk_high = _bulk(some, scale)
    if bulk_low == bulk_high:  # nearly all background: then the few bright pixels decide
        bulk_low, bulk_high = low, high
    inside = some[some > stored.min()]
    inside_low, inside_high = _bulk(inside, scale) if 2 * inside.size > some.size else (bulk_low, bulk_high)
    if 29000 < inside_low < 32768 < inside_high <= inside_low + 2 * FEW:  # also where padding lies at 0
        used = f"16-bit values mostly within {inside_low} to {inside_high}"
        raise UnreadableImage(f"{used}, like HU + 32768: data.values=hu data.values_offset=32768; {SCALE}")
    if bulk_low == bulk_high or bulk_high - bulk_low > FEW:
        return
    used = f"16-bit values mostly within {bulk_low} to {bulk_high}"
    if bulk_high <= FEW:
        raise UnreadableImage(
            f"{used}, almost black: 12-bit values or HU + 1024? If HU: data.values=hu data.values_offset=1024; {SCALE}"
        )
    raise UnreadableImage(
        f"{used}, a few percent of their range: if HU and an offset, data.values=hu data.values_offset=OFFSET; {SCALE}"
    )


def _bulk(values: Array, scale: float) -> tuple[int, int]:
    """The 1st and the 99th percentile, on the scale of 16 bits."""
    last = values.size - 1
    ranks = [last // 100, last - last // 100]
    low, high = np.partition(values.ravel(), ranks)[ranks]
    return round(float(low) * scale), round(float(high) * scale)


def check_other(stored: Array, values: Array, grey: Array) -> None:
    """Refuse values in other units than HU that the window maps to one grey, unless they are stored as one value.

    Raises UnreadableImage.
    """
    if not values.size:
        raise LeftOut("empty", "every pixel is padding")
    check_finite(values)
    if grey.min() == grey.max() and stored.min() < stored.max():
        raise UnreadableImage(
            f"values of {values.min():.6g} to {values.max():.6g} lie outside the window: "
            "set data.window_center and data.window_width to their units"
        )


def check_finite(values: Array) -> None:
    """Refuse NaN and infinity. Raises UnreadableImage."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UnreadableImage("NaN or infinite pixels")
