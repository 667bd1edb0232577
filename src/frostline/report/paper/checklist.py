"""Reporting checklists, one file each in `report/checklists/`, filled from a run as far as a run can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # it ships no types

from frostline.errors import FrostlineError, first_line
from frostline.report.paper.facts import PaperFacts
from frostline.report.paper.methods import METHOD_ANSWERS
from frostline.report.paper.results import RESULT_ANSWERS
from frostline.report.view import ChecklistSection, Table

FOLDER = Path(__file__).parents[1] / "checklists"
ANSWERS = METHOD_ANSWERS | RESULT_ANSWERS
FOR_THE_AUTHOR = "for the author"


@dataclass(frozen=True)
class Item:
    """An item of a checklist: its number, section and subject, and by which keys of `ANSWERS` a run answers it."""

    item: str
    section: str
    text: str
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checklist:
    """A reporting checklist."""

    title: str
    name: str
    source: str
    items: tuple[Item, ...]


def read_checklists(folder: Path = FOLDER) -> list[Checklist]:
    """The checklists in `folder`, by name of file. Raises `FrostlineError` naming a file that is none."""
    checklists = []
    for file in sorted(folder.glob("*.yaml")):
        try:
            read = yaml.safe_load(file.read_text(encoding="utf-8"))
            items = tuple(Item(**{**item, "answers": tuple(item.get("answers", ()))}) for item in read.pop("items"))
            checklists.append(Checklist(**read, items=items))
        except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise FrostlineError(f"{file}: is no checklist ({first_line(error)})") from None
    return checklists


def answer(item: Item, facts: PaperFacts) -> str:
    """What a run says to an item; `FOR_THE_AUTHOR` where it has nothing to say."""
    said = (ANSWERS[key](facts) for key in item.answers)
    return " ".join(text for text in said if text) or FOR_THE_AUTHOR


def checklist_section(checklist: Checklist, facts: PaperFacts) -> ChecklistSection:
    """A checklist with the answers that `facts` give."""
    rows = tuple((i.item, i.section, i.text, answer(i, facts)) for i in checklist.items)
    answered = sum(row[3] != FOR_THE_AUTHOR for row in rows)
    return ChecklistSection(
        title=checklist.title,
        name=checklist.name,
        source=checklist.source,
        summary=f"{answered} of {len(rows)} answered, some in part, from {facts.label}; the rest is for the author",
        table=Table(("item", "section", "what is asked", "answer"), rows, wrapped=True),
    )


def checklists_markdown(sections: Sequence[ChecklistSection]) -> str:
    """The tables as Markdown, to paste into a supplement."""
    lines = []
    for s in sections:
        lines += [f"## {s.title}", "", f"{s.name} ({s.source}). {s.summary[0].upper()}{s.summary[1:]}.", ""]
        lines += [_row(s.table.head), _row(["---"] * len(s.table.head)), *map(_row, s.table.rows), ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
