"""Tables of subgroups: how good a tested configuration is on each, and whether a difference is shown."""

from __future__ import annotations

from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.seeds import Repeats
from frostline.evaluation.subgroups import Interaction, Subgroups, subgroups
from frostline.report.configurations import Configuration
from frostline.report.view import Table
from frostline.text import interval, percent


def subgroup_tables(c: Configuration) -> tuple[Table, ...]:
    """A table for each column of `data.subgroups` that the manifest of the runs holds."""
    names = [column for column, _ in c.examples[0].columns]
    columns = {name: [dict(e.columns).get(name, "") for e in c.examples] for name in names}
    found = subgroups(list(c.probabilities), c.targets, c.groups, c.task, columns)
    labels = {m.key: m.label for m in named_metrics(c.task)}
    return tuple(_table(of, labels, sum(test.p == test.p for s in found for test in s.interactions)) for of in found)


def _table(of: Subgroups, labels: dict[str, str], tests: int) -> Table:
    keys = [test.key for test in of.interactions]
    rows = tuple(
        (m.value, str(m.images), str(m.groups), *(_with_interval(m.metrics[key]) for key in keys)) for m in of.members
    )
    verdicts = "; ".join(f"{labels[test.key]}: {_verdict(test, tests)}" for test in of.interactions)
    unknown = f" {of.unknown} images have no value." if of.unknown else ""
    caption = f"By {of.column}, with 95 % intervals. {verdicts[:1].upper()}{verdicts[1:]}.{unknown}"
    return Table((of.column, "images", "groups", *(labels[key] for key in keys)), rows, caption)


def _with_interval(value: Repeats) -> str:
    return f"{percent(value.mean)} ({interval(*value.interval)})"


def _verdict(test: Interaction, tests: int) -> str:
    if test.p != test.p:
        return "not tested, fewer than two of them have an interval"
    holm = f" after Holm's correction for {tests} tests" if tests > 1 else ""
    what = "a difference is shown" if test.shown else "no difference is shown, which does not show that there is none"
    return f"{what} (p {test.corrected:.2g}{holm})"
