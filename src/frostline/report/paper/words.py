"""Parts of sentences that several answers have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from frostline.data.patients import SOURCES
from frostline.report.paper.facts import PaperFacts
from frostline.text import NAMES


def listed(words: Iterable[object]) -> str:
    """`a, b and c`; empty of nothing."""
    *first, last = [str(word) for word in words] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def frozen(f: PaperFacts) -> str:
    """How much is frozen."""
    unit = {"layer": "layers", "weighted": "weighted layers", "stage": "stages"}[f.options["freeze_unit"]]
    return f"its first {f.options['freeze']} {unit} frozen" if f.options["freeze"] else "nothing frozen"


def is_known(grouped_by: str) -> bool:
    """Whether the patient of an image is known, by what its group rests on."""
    return bool({*grouped_by.split("+")} & {*SOURCES})


def count_images(f: PaperFacts) -> str:
    """Images by class."""
    count = Counter(e.label for e in f.examples)
    return f"{len(f.examples)} slices ({', '.join(f'{count[name]} {name}' for name in f.task.classes)})"


def sizes(f: PaperFacts) -> str:
    """Slices, groups and classes by partition."""
    sides = []
    for split, name in NAMES.items():
        of = [e for e in f.examples if e.split == split]
        count = Counter(e.label for e in of)
        classes = ", ".join(f"{count[c]} {c}" for c in f.task.classes)
        sides.append(f"{name}: {len(of)} slices in {len({e.group for e in of})} groups ({classes})")
    text = "; ".join(sides)
    return text[0].upper() + text[1:]


def excluded(f: PaperFacts) -> str:
    """Files that were left out, by why."""
    if not f.left_out:
        return "No image was left out."
    why = ", ".join(f"{count} {what}" for what, count in f.left_out.items())
    return f"Left out: {sum(f.left_out.values())} files ({why}); unused_files.csv lists them."
