"""A model card as parts of a page."""

from __future__ import annotations

from frostline.errors import FrostlineError
from frostline.report.view import CardPart, Table
from frostline.runs.finished import FinishedRun
from frostline.runs.folder import RunFolder
from frostline.runs.model_card import model_card


def card_parts(run: FinishedRun) -> tuple[CardPart, ...]:
    """The model card of a run; nothing where its files are of another version, or gone."""
    try:
        card = model_card(RunFolder(run.folder), run.metrics, uses=0)
    except (FrostlineError, OSError, KeyError):
        return ()
    return tuple(
        CardPart(
            part.title,
            tuple(line.replace("`", "") for line in part.lines),
            Table(part.table[0], part.table[1:]) if part.table else None,
        )
        for part in card.sections
    )
