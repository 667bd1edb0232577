"""What a study can show, before it is begun, and what it would take where it leaves a depth open."""

from __future__ import annotations

from dataclasses import replace

from rich.box import SIMPLE
from rich.table import Table

from frostline.errors import FrostlineError
from frostline.evaluation.depth_curve import Curve
from frostline.evaluation.power import Assumptions, Planner
from frostline.report.collect import Collected
from frostline.report.configurations import curve_of
from frostline.terminal import render_table
from frostline.text import percent

PATIENTS = (10, 20, 50, 100, 200, 500, 1000)
BEHIND = (0.03, 0.05, 0.10)
SEEDS = (5, 10, 20)


def plan_text(assumed: Assumptions, patients: int, margin: float) -> str:
    """Chances of a study by number of patients, and how many it takes."""
    table = Table(box=SIMPLE, pad_edge=False)
    points = f"{100 * margin:g} points"
    heads = ("patients judged on", f"an equal depth is no worse, by {points}")
    for column in (*heads, *(f"one {100 * d:g} points worse is worse" for d in BEHIND)):
        table.add_column(column, justify="right")
    for n in sorted({patients, *PATIENTS}):
        planner = Planner(assumed.rivals(n), margin)
        chances = [planner.power(n, assumed.seeds)[0], *(planner.power(n, assumed.seeds, d)[1] for d in BEHIND)]
        table.add_row(str(n), *map(percent, chances), style="bold" if n == patients else None)
    takes = "; ".join(_needed(replace(assumed, seeds=n), margin) for n in sorted({assumed.seeds, *SEEDS}))
    return (
        f"{assumed.depths} depths, {assumed.seeds} seeds, {assumed.images:g} images a patient, accuracy "
        f"{percent(assumed.accuracy)};\nright and wrong correlate by {assumed.correlation:g} within a patient and by "
        f"{assumed.agreement:g} between depths,\n"
        f"{assumed.seed_agreement:g} between seeds of one; seeds differ by {100 * assumed.seed_spread:g} points (SD).\n"
        f"Chance (power) that the study shows that ...\n{render_table(table)}\n"
        f"Patients it takes to show with 80 % power that an equal depth is no worse than the best, by {points}:\n"
        f"{takes}.\nFewer depths (--depths), a wider margin (--margin) or seeds that differ less ask for fewer.\n"
        "Patients judged on are those of validation; with folds all that are not in the test set."
    )


def _needed(assumed: Assumptions, margin: float) -> str:
    needed = Planner(assumed.rivals(100), margin).groups_needed(assumed.seeds)
    return f"with {assumed.seeds} seeds {'not to be had' if needed is None else f'{needed:,}'}"


def plan_of_studies(collected: Collected, margin: float | None = None) -> str:
    """The same for every study over depths that was run, from its variances; `margin` in place of its own.

    Raises `FrostlineError` without one.
    """
    texts = []
    for study in collected.studies:
        curve = curve_of(study if margin is None else replace(study, margin=margin), collected)
        if curve is not None and curve.seeds > 1:
            texts.append(f"Study {study.name}\n{_of_curve(curve)}")
    if not texts:
        raise FrostlineError(
            f"{collected.title}: no complete study over freeze with two seeds or more of each depth, whose variances "
            "could be taken; give assumptions instead: frostline plan --help"
        )
    return "\n\n".join(texts)


def _of_curve(curve: Curve) -> str:
    words = [f"{sentence[0].upper()}{sentence[1:]}" for sentence in curve.in_words()]
    table = Table(box=SIMPLE, pad_edge=False)
    for column in ("frozen layers", "behind the highest", "verdict", "groups to settle it", "or seeds"):
        table.add_column(column, justify="right")
    takes = curve.takes()
    for d in curve.depths:
        cells = ["", ""]
        if d.freeze in takes:
            cells = [f"{n:,}" if n is not None else "no number" for n in takes[d.freeze]]
        table.add_row(str(d.freeze), f"{100 * d.deficit:.1f} points", d.verdict, *cells)
    there = (
        f"Now {curve.groups} groups and {curve.seeds} seeds. With 80 % power, if a depth is as far behind as it looks."
    )
    return "\n".join((*words, render_table(table), there))
