"""How often `find_shortcuts` alarms without a shortcut, and finds one: python benchmarks/shortcuts.py [REPEATS].

Simulated groups of 1 to 12 images that share their features; groups of the second class are three times as large, so a
test that permuted images, or let large groups count more, would alarm. Prints a Markdown table.
"""

import sys

import numpy as np

from frostline.data.images import ImageFacts
from frostline.data.records import Record
from frostline.data.shortcuts import ABOVE, find_shortcuts
from frostline.evaluation.intervals import wilson
from frostline.text import interval, percent

CLASSES = ("benign", "malignant", "normal")
Simulated = tuple[list[Record], np.ndarray, list[str]]


def simulate(seed: int, groups_of_class: int, share_wide: float, classes: tuple[str, ...] = CLASSES) -> Simulated:
    """Records, thumbnails and groups; `share_wide` of the malignant groups are 801 wide, of the others none.

    Everything else differs between groups and does not depend on the class: grey, borders, compression, file kind,
    and some groups of each class are 623 wide.
    """
    rng = np.random.default_rng(seed)
    records, thumbnails, groups = [], [], []
    for c, name in enumerate(classes):
        for g in range(groups_of_class):
            wide = name == "malignant" and rng.random() < share_wide
            width = 801 if wide else 623 if rng.random() < 0.2 else 512
            mean, border, rate = rng.uniform(0.3, 0.6), int(rng.integers(0, 6)), rng.uniform(0.1, 0.4)
            kind = "JPEG" if rng.random() < 0.8 else "PNG"
            for i in range(int(rng.integers(1, 5)) * (3 if c == 1 else 1)):
                grey = np.clip(rng.normal(mean, 0.1, (64, 64)), 0, 1)
                grey[:border] = 0
                size = int(512 * width * rate * rng.uniform(0.97, 1.03))
                facts = ImageFacts(kind, 0.0, 255.0, quality=75 if kind == "JPEG" else None)
                records.append(Record(f"{name}/{g}_{i}", name, f"{len(records):064x}", 512, width, size, facts))
                thumbnails.append(np.rint(grey * 65535).astype(np.uint16))
                groups.append(f"{name} {g}")
    return records, np.stack(thumbnails), groups


def main(repeats: int) -> None:
    """Print a row for each number of groups and share of wide files."""
    print("| groups of each class | malignant groups 801 wide | data sets | size found | any other set found | 95 % |")
    print("|---" * 6 + "|")
    for groups_of_class in (12, 30):
        for share in (0.0, 0.3):
            size = other = 0
            for seed in range(repeats):
                records, thumbnails, groups = simulate(1000 * groups_of_class + seed, groups_of_class, share)
                found = {
                    s.name for s in find_shortcuts(records, thumbnails, groups, CLASSES, seed) if s.verdict == ABOVE
                }
                size, other = size + ("size" in found), other + bool(found - {"size"})
            between = interval(*wilson(other, repeats))
            cells = (groups_of_class, f"{share:.0%}".replace("%", " %"), repeats, percent(size / repeats))
            print("|", " | ".join(map(str, cells)), "|", percent(other / repeats), "|", between, "|", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
