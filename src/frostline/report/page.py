"""One HTML page on studies and runs: self-contained, readable without a network, light, dark and printed."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from frostline.report.assemble import assemble_page
from frostline.report.collect import Collected
from frostline.report.view import Page


def write_report(collected: Collected, file: Path, images: bool = True) -> None:
    """Write the page; with `images` it shows and names files of the data set, and must stay where these may be."""
    file.write_text(render(assemble_page(collected, images)), encoding="utf-8")


def render(page: Page) -> str:
    """The page as text."""
    return render_template("report.html", page)


def render_template(name: str, page: object) -> str:
    """A page of `templates/` as text; `page` holds all that it shows."""
    environment = Environment(
        loader=PackageLoader("frostline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(page=page)
