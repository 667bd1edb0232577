"""HTML out of `templates/`."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_template(name: str, page: object, package: str = "frostline.report") -> str:
    """A page of `templates/` of a package as text; `page` holds all that it shows."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(page=page)
