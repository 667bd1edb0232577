"""The tested install that `constraints.txt` names is one that `pyproject.toml` allows."""

from __future__ import annotations

import re
from importlib.metadata import requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT


def test_every_dependency_has_an_exact_version_within_its_bounds() -> None:
    lines = (ROOT / "constraints.txt").read_text()
    exact = {canonicalize_name(name): at for name, at in re.findall(r"^([\w.-]+)==(\S+)$", lines, re.MULTILINE)}
    for requirement in map(Requirement, requires("frostline") or ()):
        if requirement.name != "frostline":
            at = exact[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(at, prereleases=True), f"{requirement}: {at}"


def test_the_citation_names_this_version() -> None:
    assert f"\nversion: {version('frostline')}\n" in (ROOT / "CITATION.cff").read_text()
