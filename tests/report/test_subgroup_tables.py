"""The page has a table for each column of data.subgroups, out of the run folder alone."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from omegaconf import OmegaConf

from frostline.report.assemble import assemble_page
from frostline.report.collect import collect
from frostline.report.page import render
from tests.conftest import Run


def with_column(run: Run, folder: Path) -> Path:
    """A copy of a run whose manifest says the scanner, one for each class, but of malignant images."""
    shutil.copytree(run.folder, folder)
    with (folder / "manifest.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        row["scanner"] = {"malignant": "", "benign": "new", "normal": "old"}[row["class"]]
    with (folder / "manifest.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    config = OmegaConf.load(folder / "config.yaml")
    config.data.subgroups = ["scanner"]
    OmegaConf.save(config, folder / "config.yaml")
    return folder


def test_a_column_becomes_a_table_with_intervals_and_words_that_do_not_claim_sameness(
    tiny_run: Run, tmp_path: Path
) -> None:
    with_column(tiny_run, tmp_path / "run")
    page = assemble_page(collect(str(tmp_path)), images=False)
    (table,) = page.tested[0].subgroups
    assert table.head[:3] == ("scanner", "images", "groups")
    assert [row[0] for row in table.rows] == ["new", "old"]
    total = sum(int(row[1]) for row in table.rows)
    assert f" {len(collect(str(tmp_path)).runs[0].predictions['test']) - total} images have no value." in table.caption
    assert "which does not show that there is none" in table.caption or "not tested" in table.caption
    assert ">By scanner" in render(page)


def test_without_the_option_there_is_no_table_and_the_decision_curve_is_drawn(tiny_run: Run, tmp_path: Path) -> None:
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    (tested,) = assemble_page(collect(str(tmp_path)), images=False).tested
    assert tested.subgroups == ()
    assert tested.decision is not None
    assert "act on the network" in tested.decision.svg
    assert "(prevalence=SHARE gives another)" in tested.chosen[-1]
