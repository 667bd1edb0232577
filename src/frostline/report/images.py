"""Grey images as sources for a page that needs no other file."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

SHOWN = 224  # pixels a side at most: the page stays small, however large the network's images are


def jpeg_source(grey: np.ndarray, quality: int = 85) -> str:
    """Grey values [H, W], or colours [H, W, 3], in 0..1 as a small JPEG for `src`."""
    image = Image.fromarray(np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8))
    if image.width > SHOWN:
        image = image.resize((SHOWN, SHOWN), Image.Resampling.BOX)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
