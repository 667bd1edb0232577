"""Shortcuts: found where they were planted, seldom alarmed without one, never said to be absent where none could be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.shortcuts import simulate

from frostline.data.group_sample import MOST_GROUPS, MOST_IMAGES
from frostline.data.images import ImageFacts
from frostline.data.records import Record
from frostline.data.shortcuts import ABOVE, CONSTANT, NOT_ABOVE, ONE_CLASS, UNTESTABLE, Shortcut, find_shortcuts
from frostline.data.traits import TRAITS

TWO = ("benign", "malignant")
GREY = np.full((64, 64), 30000, np.uint16)


def record(i: int, label: str, width: int = 512, kind: str = "JPEG", quality: int | None = 75) -> Record:
    return Record(f"{label}/{i}", label, f"{i:064x}", 512, width, 50_000, ImageFacts(kind, 0, 255, quality=quality))


def same(records: list[Record]) -> np.ndarray:
    return np.broadcast_to(GREY, (len(records), 64, 64))


def by_name(found: list[Shortcut]) -> dict[str, Shortcut]:
    return {s.name: s for s in found}


def test_malignant_files_that_are_801_wide_are_found_out_and_named() -> None:
    records, thumbnails, groups = simulate(1, 30, 0.3)
    found = by_name(find_shortcuts(records, thumbnails, groups, ("benign", "malignant", "normal")))
    assert list(found) == list(TRAITS)
    size = found["size"]
    assert size.verdict == ABOVE
    assert size.p <= size.p_corrected <= 0.05
    wide = sum(r.width == 801 for r in records)
    malignant = sum(r.label == "malignant" for r in records)
    assert (
        f"width = 801: 0 of {sum(r.label == 'benign' for r in records)} benign, {wide} of {malignant}" in size.sentence
    )
    assert "Look whether it is the disease or the scanner" in size.sentence
    assert [s.verdict for s in found.values() if s.name != "size"] == [NOT_ABOVE] * 4


def test_the_same_seed_gives_the_same() -> None:
    data = simulate(3, 8, 0.3, TWO)
    assert find_shortcuts(*data, TWO, seed=5, permutations=20) == find_shortcuts(*data, TWO, seed=5, permutations=20)


@pytest.mark.slow
def test_without_a_shortcut_the_alarm_stays_rare() -> None:
    """Benchmarks/shortcuts.py says how rare, on more data sets; groups of the second class are three times as large."""
    alarms = 0
    for seed in range(20):
        records, thumbnails, groups = simulate(seed, 7, 0.0, TWO)
        found = find_shortcuts(records, thumbnails, groups, TWO, seed, permutations=99)
        alarms += any(s.verdict == ABOVE for s in found)
    assert alarms <= 3  # of 20 at 5 %: more than 3 in one of 60 such tests


def test_copies_in_a_group_are_no_evidence() -> None:
    """One group of many wide images is one group."""
    records = [record(i, TWO[i % 2]) for i in range(24)] + [record(100 + i, "malignant", 801) for i in range(50)]
    groups = [f"g{i}" for i in range(24)] + ["wide"] * 50
    size = by_name(find_shortcuts(records, same(records), groups, TWO))["size"]
    assert size.verdict == ONE_CLASS
    assert "width = 801: 0 of 12 benign, 50 of 62 malignant, in 1 group." in size.sentence
    assert "Only malignant has it: in too few groups to tell from chance" in size.sentence


def test_what_is_the_same_for_all_tells_nothing() -> None:
    records = [record(i, TWO[i % 2]) for i in range(30)]
    found = find_shortcuts(records, same(records), [str(i) for i in range(30)], TWO)
    assert {s.verdict for s in found} == {CONSTANT}
    assert found[0].sentence == "size: the same for all images, so it tells nothing."


@pytest.mark.parametrize("per_class", [1, 2, 4])
def test_too_few_groups_are_said_and_not_taken_for_no_shortcut(per_class: int) -> None:
    """Four groups against four can be dealt out in 35 ways that differ: too few for five tests."""
    records = [record(i, TWO[i % 2], 512 + i % 2) for i in range(40)]
    groups = [f"{i % 2} {i // 2 % per_class}" for i in range(40)]
    size = by_name(find_shortcuts(records, same(records), groups, TWO))["size"]
    assert size.verdict == UNTESTABLE
    assert np.isnan(size.accuracy)
    assert size.sentence == (f"size: cannot be tested (too few groups: benign {per_class}, malignant {per_class}).")


def test_a_class_with_too_few_groups_is_left_out_and_named() -> None:
    records = [record(i, TWO[i % 2], 512 + 100 * (i % 2)) for i in range(40)] + [record(99, "normal", 900)]
    size = by_name(find_shortcuts(records, same(records), [str(i) for i in range(41)], (*TWO, "normal", "none")))[
        "size"
    ]
    assert size.verdict == ABOVE
    assert size.accuracy == 1
    assert "normal is left out: 1 groups; none is left out: 0 groups" in size.sentence


def test_groups_of_two_classes_keep_their_labels_together() -> None:
    rng = np.random.default_rng(0)
    records = [record(i, TWO[int(rng.integers(2))], 500 + int(rng.integers(5))) for i in range(120)]
    size = by_name(find_shortcuts(records, same(records), [str(i // 4) for i in range(120)], TWO, permutations=59))[
        "size"
    ]
    assert size.verdict in (ABOVE, NOT_ABOVE)
    assert 0 <= size.accuracy <= 1


def test_of_many_images_some_groups_are_drawn_and_it_is_said() -> None:
    records = [record(i, TWO[i // 2 % 2], 512 + 300 * (i // 2 % 2 and i % 3 == 0)) for i in range(12_000)]
    groups = [str(i // 2) for i in range(12_000)]
    size = by_name(find_shortcuts(records, same(records), groups, TWO))["size"]
    assert size.verdict == ABOVE
    assert MOST_GROUPS <= MOST_IMAGES
    assert size.drawn == f"{MOST_GROUPS} of 6000 groups, one image of each group"


def test_borders_brightness_quality_and_kind_are_each_found() -> None:
    records, thumbnails = [], np.array(same([record(0, "benign")] * 40))
    for i in range(40):
        one = i % 2
        records.append(record(i, TWO[one], kind=("PNG", "JPEG")[one], quality=75 if one else None))
        thumbnails[i] += np.uint16(i * 7 + 9000 * one)
        thumbnails[i, :, : 8 * one] = 0
    found = by_name(find_shortcuts(records, thumbnails, [str(i) for i in range(40)], TWO))
    assert {n: s.verdict for n, s in found.items() if n != "size"} == dict.fromkeys([*TRAITS][1:], ABOVE)
    assert found["size"].verdict == CONSTANT
    assert "black border on the left" in found["borders"].sentence or "at the rim" in found["borders"].sentence
    assert "20 of 20" in found["file kind"].sentence
    assert "0 of 20" in found["file kind"].sentence


def test_traits_are_what_they_say() -> None:
    wide = replace(record(0, "benign", 1024), bytes=1024 * 512)
    grey = np.full((64, 64), 65535, np.uint16)
    grey[:, :16] = 0
    columns = {k: v.tolist() for read in TRAITS.values() for k, v in read([wide], grey[None]).items()}
    assert (columns["width"], columns["height"], columns["width over height"]) == ([1024], [512], [2])
    assert columns["black border on the left"] == [0.25]
    assert columns["black border above"] == columns["black border on the right"] == [0]
    assert columns["share of black at the rim"] == [pytest.approx(94 / 252)]
    assert columns["mean grey"] == [0.75]
    assert columns["bytes a pixel"] == [1]
    assert columns["kind JPEG"] == [1]


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="1 records, 1 thumbnails, 2 groups"):
        find_shortcuts([record(0, "benign")], GREY[None], ["a", "b"], TWO)


def test_no_images_are_no_error() -> None:
    found = find_shortcuts([], np.empty((0, 64, 64), np.uint16), [], TWO)
    assert {s.verdict for s in found} == {UNTESTABLE}
