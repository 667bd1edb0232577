"""The reporting checklists are whole, and what a run can answer is answered from its own files."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from frostline.data.manifest import read_manifest
from frostline.errors import FrostlineError
from frostline.report.collect import Collected, collect
from frostline.report.configurations import configurations
from frostline.report.paper.checklist import (
    ANSWERS,
    FOLDER,
    FOR_THE_AUTHOR,
    Item,
    answer,
    checklist_section,
    checklists_markdown,
    read_checklists,
)
from frostline.report.paper.facts import PaperFacts, gather_facts
from tests.conftest import Frostline, Run

CLAIM, TRIPOD = read_checklists()
SEARCH = "all-phase2: freeze, all combinations, 4 of 4 trials complete, maximising val/acc"


@pytest.fixture(scope="module")
def logs(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run, and the same as if it were of another seed."""
    logs = tmp_path_factory.mktemp("paper") / "logs"
    for seed in (0, 1):
        folder = logs / "runs" / f"seed-{seed}"
        shutil.copytree(tiny_run.folder, folder, ignore=shutil.ignore_patterns("wandb", "*.ckpt"))
        config = folder / "config.yaml"
        config.write_text(re.sub(r"^seed: 0$", f"seed: {seed}", config.read_text(), flags=re.MULTILINE))
    return logs


@pytest.fixture(scope="module")
def collected(logs: Path) -> Collected:
    """All of it."""
    return collect(str(logs))


@pytest.fixture(scope="module")
def facts(collected: Collected) -> PaperFacts:
    """The facts of its one configuration, two seeds."""
    found = gather_facts(configurations(collected.runs), collected)
    assert found is not None
    return found


def test_claim_has_its_44_items_in_order() -> None:
    assert CLAIM.title == "CLAIM 2024"
    assert [i.item for i in CLAIM.items] == [str(n) for n in range(1, 45)]


def test_tripod_has_its_27_items_with_all_parts() -> None:
    parts = {
        3: "abc",
        5: "ab",
        6: "abc",
        8: "abc",
        9: "abc",
        12: "abcdefg",
        18: "abcdef",
        20: "abc",
        23: "ab",
        27: "abc",
    }
    expected = [f"{n}{part}" for n in range(1, 28) for part in parts.get(n, [""])]
    assert TRIPOD.title == "TRIPOD+AI"
    assert [i.item for i in TRIPOD.items] == expected
    assert len(expected) == 52


def test_every_key_is_one_and_every_answer_is_asked_for() -> None:
    asked = {key for checklist in (CLAIM, TRIPOD) for i in checklist.items for key in i.answers}
    assert asked == set(ANSWERS)


@pytest.mark.parametrize("key", ANSWERS)
def test_every_key_is_answered_from_a_run(key: str, facts: PaperFacts) -> None:
    text = ANSWERS[key](replace(facts, searches=(SEARCH,)))
    assert len(text) > 15, key
    assert not re.search(r"\bNone\b(?! by| was|:|\.)|\bnan\b|\{|\}", text), text
    assert "/" not in text or not re.search(r"(?:^|\s)/\w+/", text), text  # no path of a machine


def test_numbers_are_those_of_the_run(facts: PaperFacts, tiny_run: Run) -> None:
    examples = read_manifest(tiny_run.folder / "manifest.csv")
    train = [e for e in examples if e.split == "train"]
    count = Counter(e.label for e in train)
    classes = ", ".join(f"{count[name]} {name}" for name in ("benign", "malignant", "normal"))
    groups = len({e.group for e in train})
    assert f"Training: {len(train)} slices in {groups} groups ({classes})" in ANSWERS["partitions"](facts)
    accuracy = f"ccuracy {100 * tiny_run.metrics['test/acc']:.1f} % ("
    assert accuracy in ANSWERS["internal_testing"](facts)
    assert accuracy in ANSWERS["performance"](facts)
    assert "alignant: sensitivity" in ANSWERS["diagnostic"](facts)
    assert "alignant: sensitivity" not in ANSWERS["performance"](facts)
    assert "adamax, learning rate 0.002 (onecycle)" in ANSWERS["training"](facts)
    assert "2 seeds" in ANSWERS["training"](facts)
    assert "torch " in ANSWERS["software"](facts)
    assert "its first 10 layers frozen" in ANSWERS["model"](facts)
    assert "The patient of 36 of 36 images is known." in ANSWERS["disjoint"](facts)


def test_what_is_wrong_is_counted_from_the_confusion_matrix(facts: PaperFacts) -> None:
    confusion = ((4.0, 0.0, 1.5), (0.0, 5.0, 0.0), (2.0, 0.0, 3.0))
    text = ANSWERS["failures"](replace(facts, confusion=confusion))
    assert text.startswith("2 normal taken for benign and 1.5 benign taken for normal (mean over seeds)")
    none = ANSWERS["failures"](replace(facts, confusion=((4.0, 0.0, 0.0), (0.0, 5.0, 0.0), (0.0, 0.0, 3.0))))
    assert none.startswith("No test image is wrong")


def test_limits_that_a_run_knows_are_said(facts: PaperFacts) -> None:
    unknown = tuple(replace(e, grouped_by="series") for e in facts.examples)
    leaking = {**facts.metrics, "test/groups_in_train": 3}
    text = ANSWERS["limitations"](replace(facts, seeds=1, metrics=leaking, examples=unknown))
    for limit in ("one seed", "not every patient is known", "3 of 6 test images have one of their group in training"):
        assert limit in text
    assert "patient" not in ANSWERS["limitations"](facts)


def test_what_a_run_cannot_say_is_for_the_author(facts: PaperFacts) -> None:
    section = checklist_section(CLAIM, facts)
    by_item = {row[0]: row[3] for row in section.table.rows}
    assert {by_item[n] for n in ("3", "5", "11", "14", "34", "41", "44")} == {FOR_THE_AUTHOR}
    untested = replace(facts, figures={}, confusion=())
    assert answer(Item("38", "", "", ("diagnostic",)), untested) == FOR_THE_AUTHOR
    assert section.summary.startswith(f"{sum(text != FOR_THE_AUTHOR for text in by_item.values())} of 44 answered")


def test_a_run_that_was_not_tested_answers_what_it_can(tiny_run: Run, tmp_path: Path) -> None:
    shutil.copytree(tiny_run.folder, tmp_path / "run", ignore=shutil.ignore_patterns("wandb", "*.ckpt"))
    file = tmp_path / "run" / "predictions.csv"
    lines = [line for line in file.read_text().splitlines() if not line.endswith(",test")]
    file.write_text("\n".join(lines) + "\n")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    kept = {k: v for k, v in metrics.items() if not k.startswith("test/")}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(kept))
    collected = collect(str(tmp_path))
    facts = gather_facts(configurations(collected.runs), collected)
    assert facts is not None
    assert ANSWERS["performance"](facts) == ""
    assert ANSWERS["partitions"](facts)


def test_markdown_has_a_row_an_item_and_keeps_its_columns(facts: PaperFacts, logs: Path, frostline: Frostline) -> None:
    piped = replace(facts, searches=("a|b: freeze",))
    text = checklists_markdown([checklist_section(c, piped) for c in (CLAIM, TRIPOD)])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 44 + 52 + 2 * 2
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    file = logs.parent / "checklists.md"
    code, _, err = frostline("report", str(logs), "--no-pictures", f"--checklist={file}")
    assert (code, err) == (0, "")
    assert "## CLAIM 2024" in file.read_text()
    page = (logs / "report.html").read_text()
    assert 'id="paper"' in page
    assert page.count("<td>for the author</td>") == file.read_text().count("| for the author |")


def test_a_file_that_is_no_checklist_is_named(tmp_path: Path) -> None:
    for content in ("items: 3", "title: a\nitems: [{item: '1'}]", "- 1", "{"):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(FrostlineError, match=r"bad\.yaml: is no checklist") as refused:
            read_checklists(tmp_path)
        assert "\n" not in str(refused.value)


def test_files_say_what_they_were_made_from() -> None:
    for file in FOLDER.glob("*.yaml"):
        assert re.search(r"^# Made from: ", file.read_text(), re.MULTILINE), file
