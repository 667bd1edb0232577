"""One HTML page on studies and runs: self-contained, readable without a network, light, dark and printed."""

from __future__ import annotations

from pathlib import Path

from frostline.errors import FrostlineError
from frostline.report.assemble import assemble_page, checklists_of
from frostline.report.collect import Collected
from frostline.report.configurations import configurations
from frostline.report.paper.checklist import checklists_markdown
from frostline.report.rendering import render_template
from frostline.report.view import Page


def write_report(collected: Collected, file: Path, images: bool = True, heat: bool = False) -> None:
    """Write the page; with `images` it shows and names files of the data set, and must stay where these may be.

    With `heat` it shows where the networks looked, too, which takes seconds an image.
    """
    file.write_text(render(assemble_page(collected, images, heat)), encoding="utf-8")


def write_checklists(collected: Collected, file: Path) -> None:
    """Write the reporting checklists with what the runs answer, as Markdown to paste."""
    sections = checklists_of(configurations(collected.runs), collected)
    if not sections:
        raise FrostlineError(
            f"{collected.title} holds no run that can be read: there is nothing to fill a checklist with"
        )
    file.write_text(checklists_markdown(sections), encoding="utf-8")


def render(page: Page) -> str:
    """The page as text."""
    return render_template("report.html", page)
