"""Whether one class was exported with another grey range than the rest, which a network can learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frostline.data.records import Record

FEWEST = 5  # images of a class that are a range
ASKED = 500  # images of each class at most, evenly through the records
GAP = 0.1  # of the whole grey scale between the ranges of a class and of the rest


def range_remarks(records: Sequence[Record], thumbnails: np.ndarray, classes: Sequence[str]) -> list[str]:
    """A line for every class whose images reach a darkest or brightest grey that those of all others do not.

    Of each thumbnail, uint16 [N, 64, 64], the 0.5th and 99.5th percentile; of these the middle 90 % of a class against
    the middle 90 % of the rest.
    """
    of = {name: [i for i, r in enumerate(records) if r.label == name] for name in classes}
    asked = sorted(i for indices in of.values() for i in indices[:: len(indices) // ASKED + 1])
    labels = np.array([records[i].label for i in asked])
    lines: list[str] = []
    for percentile, word in ((99.5, "brightest"), (0.5, "darkest")):
        reached = np.array([np.percentile(t, percentile) for t in (thumbnails[i] for i in asked)]) / 65535
        for name in classes:
            own, rest = reached[labels == name], reached[labels != name]
            if min(len(own), len(rest)) < FEWEST or any(word in line for line in lines):
                continue
            (low, high), (rest_low, rest_high) = np.percentile(own, [5, 95]), np.percentile(rest, [5, 95])
            if low > rest_high + GAP or high < rest_low - GAP:
                lines.append(
                    f"the {word} grey of {name} is {np.median(own):.2f} (median; 0 black, 1 white), of the rest "
                    f"{np.median(rest):.2f}: exported otherwise? A network can learn that; export alike, or say what "
                    "values mean with data.values"
                )
    return lines
