"""A page out of what a folder of logs holds."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from frostline.config.compose import read_config
from frostline.config.schema import RunConfig
from frostline.data.audit import audit_data
from frostline.data.dataset import data_root
from frostline.errors import FrostlineError
from frostline.report.claim_card import claim_cards
from frostline.report.collect import Collected
from frostline.report.configurations import Configuration, Shown, configurations, curve_of, leak_gaps
from frostline.report.data_section import data_section
from frostline.report.findings import sentences
from frostline.report.interactive import script
from frostline.report.paper.checklist import checklist_section, read_checklists
from frostline.report.paper.facts import gather_facts
from frostline.report.sections import card_section, gap_table, split_common, study_section
from frostline.report.tested import read_thumbnail, tested_section
from frostline.report.view import ChecklistSection, DataSection, Page, Table, TestedSection
from frostline.runs.finished import FinishedRun
from frostline.runs.folder import RunFolder
from frostline.runs.patients import by_unit
from frostline.runs.summary import interval_of
from frostline.text import duration, in_order, percent


def assemble_page(collected: Collected, images: bool, heat: bool = False) -> Page:
    """All that the page shows; without `images` no file of the data set is shown or named.

    With `heat` images are shown with heat maps beside them.
    """
    tested = configurations(collected.runs)
    curves = {s.name: curve_of(s, collected) for s in collected.studies}
    known_curves = {name: curve for name, curve in curves.items() if curve is not None}
    newest = max(collected.runs, key=lambda r: RunFolder(r.folder).metrics.stat().st_mtime, default=None)
    by = _by(collected.runs)
    runs = sorted(collected.runs, key=lambda run: in_order(run.folder))
    common, rows = split_common([_run(run, collected, by) for run in runs])
    studies = [study_section(s, curves[s.name], collected) for s in collected.studies]
    return Page(
        title=collected.title,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        images=images,
        sentences=sentences(tested, known_curves, collected),
        glance=_glance(collected),
        studies=studies,
        tested=[_tested(c, collected.logs_dir, images, heat) for c in tested],
        cards=[card_section(card) for card in claim_cards(tested, known_curves, collected)],
        gaps=[gap_table(gap) for gap in leak_gaps(tested)],
        common=common,
        runs=Table(tuple(rows[0]) if rows else (), tuple(tuple(r.values()) for r in rows), sortable=True, headed=False),
        broken=collected.broken,
        data=_data(None if newest is None else _config_of(newest), collected.logs_dir, images),
        commands=_commands(collected.runs, images),
        trained_by={} if newest is None else _trained_by(newest),
        checklists=checklists_of(tested, collected),
        script=script() if any(d.live for s in studies for d in s.drawings) else "",
    )


def checklists_of(tested: Sequence[Configuration], collected: Collected) -> list[ChecklistSection]:
    """The reporting checklists with what the runs answer; none where there is no run to answer from."""
    facts = gather_facts(tested, collected)
    return [] if facts is None else [checklist_section(checklist, facts) for checklist in read_checklists()]


def _tested(c: Configuration, logs_dir: Path, images: bool, heat: bool) -> TestedSection:
    config = _config_of(c.runs[0])
    find_heat = None
    if heat and images and config is not None:
        from frostline.report.heat import HeatMaps  # torch takes seconds to import

        with suppress(FrostlineError):  # its checkpoint is gone
            find_heat = HeatMaps(c.runs[0], data_root(config.data, logs_dir / "cache")).find

    def find_image(shown: Shown) -> str | None:
        return None if config is None else read_thumbnail(shown, config, data_root(config.data, logs_dir / "cache"))

    return tested_section(c, find_image if images else None, find_heat)


def _glance(collected: Collected) -> dict[str, str]:
    states = Counter(t.state for s in collected.studies for t in s.trials)
    seconds = sum(float(r.metrics.get("seconds") or 0) for r in collected.runs)
    epochs = sum(int(r.metrics.get("epochs") or 0) for r in collected.runs)
    return {
        "studies": ", ".join(s.name for s in collected.studies) or "none",
        "trials": ", ".join(f"{n} {state}" for state, n in states.most_common()) or "none",
        "finished runs": f"{len(collected.runs)}, {epochs} epochs, {duration(seconds)} of computing",
        "frozen layers": _frozen(collected.runs),
    }


def _frozen(runs: Sequence[FinishedRun]) -> str:
    runs = [r for r in runs if r.metrics["freeze"]]
    checked = sum("frozen/sha256" in r.metrics for r in runs)
    if not checked:
        return "not recorded by these runs"
    return (
        f"hashed before and after training in {checked} of {len(runs)} runs that freeze, parameters and BatchNorm "
        "statistics: bit for bit the same (a run in which one moved fails)"
    )


def _by(runs: Sequence[FinishedRun]) -> str:
    """Heading of what is by patient in a table of `runs`, of which patients are known or not."""
    known = {bool(run.metrics.get("patients_known")) for run in runs}
    return by_unit(True in known) if len(known) < 2 else "by patient, or by group where patients are not known"


def _run(run: FinishedRun, collected: Collected, by: str) -> dict[str, str]:
    m = run.metrics
    row = {
        "run": str(run.folder.relative_to(collected.logs_dir)),
        "data": m["data"],
        "model": m["model"],
        "weights": str(m["weights"]).split(" (")[0],
        "split": m["split"],
        "freeze": str(m["freeze"]),
        "optimiser": m["optimizer"],
        "rate": f"{m['lr']:.2g}",
        "batch": str(m["batch_size"]),
        "px": str(m["image_size"]),
        "seed": str(m["seed"]),
        "fold": next((str(m[name]) for name in ("val_fold", "fold") if m.get(name) is not None), "-"),
        "state": m.get("state", "complete"),
        "epochs": str(m["epochs"]),
    }
    for stage, name in (("val", "validation"), ("test", "test"), ("test/patient", f"test {by}")):
        value = m.get(f"{stage}/acc")
        row[name] = "-" if value is None else f"{percent(value)} ({interval_of(m, f'{stage}/acc')})"
    return row | {"minutes": f"{float(m['seconds']) / 60:.1f}"}


def _config_of(run: FinishedRun) -> RunConfig | None:
    """The run's options; None when its data set is not there any more, or they are of another version."""
    try:
        return read_config(run.folder)
    except FrostlineError:
        return None


def _data(config: RunConfig | None, logs_dir: Path, images: bool) -> DataSection | None:
    if config is None:
        return None
    try:
        return data_section(audit_data(config.data, logs_dir / "cache"), config, images=images)
    except FrostlineError:
        return None


def _trained_by(run: FinishedRun) -> dict[str, str]:
    facts = RunFolder(run.folder).trained_by
    if not facts:
        return {}
    changed = ", with local changes" if facts.get("git_changed") else ""
    return {
        "trained on": f"{facts.get('processor', '')}, {facts.get('trained_on', '')}",
        "frostline": f"commit {facts.get('git_commit') or 'unknown'}{changed}",
        "Python": str(facts.get("python", "")),
        "packages": ", ".join(f"{name} {version}" for name, version in facts.get("packages", {}).items()),
    }


def _commands(runs: Sequence[FinishedRun], names: bool) -> list[str]:
    """The commands that made the runs, each once; without `names` the data set's folder is DIR."""
    commands: dict[str, None] = {}
    for run in runs:
        words = RunFolder(run.folder).trained_by.get("command")
        if words:
            if not names:
                words = [re.sub(r"^(data\.(?:root|manifest)=).*", r"\1DIR", word) for word in words]
            commands[f"python {shlex.join(words)}"] = None
    return list(commands)
