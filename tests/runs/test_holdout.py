"""Every look at a test set is on record, whoever took it."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from frostline.data.manifest import Example, manifest_csv
from frostline.runs.holdout import count_uses, name_test_set, read_test_set, record_use, uses_in_words

TRAIN, FIRST, SECOND = (
    Example(f"{name}.png", digits * 32, "benign", name, split)
    for name, digits, split in (("a", "0a", "train"), ("b", "0b", "test"), ("c", "0c", "test"))
)


def test_a_test_set_is_its_test_images_in_any_order_and_nothing_else() -> None:
    both = name_test_set([FIRST, SECOND])
    assert name_test_set([SECOND, TRAIN, FIRST]) == both
    assert name_test_set([FIRST]) != both


def test_a_run_looks_once_however_often_it_is_gone_on_with(tmp_path: Path) -> None:
    assert not count_uses(tmp_path, {"one"})
    assert record_use(tmp_path, tmp_path / "a", "one") == 1
    assert record_use(tmp_path, tmp_path / "a", "one") == 1
    assert record_use(tmp_path, tmp_path / "b, with a comma", "one") == 2
    assert record_use(tmp_path, tmp_path / "a", "two") == 1
    assert [record_use(tmp_path, tmp_path / "more", "three", times=n) for n in (1, 2, 2)] == [1, 2, 2]  # more epochs
    assert count_uses(tmp_path, {"one"}) == {"one": 2}
    assert count_uses(tmp_path, {"one", "two", None}) == {"one": 2, "two": 1}


def test_no_look_is_lost_when_many_trials_end_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        seen = [*threads.map(lambda i: record_use(tmp_path, tmp_path / f"trial-{i}", "one"), range(40))]
    assert sorted(seen) == [*range(1, 41)]
    assert count_uses(tmp_path, {"one"}) == {"one": 40}


def test_the_test_set_of_a_run_is_known_by_its_manifest(tmp_path: Path) -> None:
    assert read_test_set(tmp_path) is None
    examples = [
        Example(f"{split}-{label}.png", f"{i:064x}", str(label), f"g{i}", split)
        for i, (split, label) in enumerate((s, c) for s in ("train", "val", "test") for c in range(3))
    ]
    (tmp_path / "manifest.csv").write_text(manifest_csv(examples))
    assert read_test_set(tmp_path) == name_test_set(examples)


def test_looks_are_said_in_words() -> None:
    said = [uses_in_words(Counter({"one": n})) for n in (0, 1, 2)]
    assert said == ["never evaluated", "evaluated once", "evaluated 2 times"]
    assert uses_in_words(Counter({"one": 3, "two": 2, "three": 0})) == "evaluated 5 times, 2 different test sets in all"
