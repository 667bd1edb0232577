"""What a page shows, as plain values: texts, tables and drawings. `page` renders them and computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """A table of texts; the first cell of every row is its heading where `headed` says so."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    chosen: int | None = None
    """Row to bring forward."""
    headed: bool = True
    sortable: bool = False
    wrapped: bool = False
    """Whether cells hold sentences, and may take several lines."""
    notes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What stands behind a click below the table: title and lines."""


@dataclass(frozen=True)
class Drawing:
    """An SVG element, and where there is one an element that answers a pointer, to be shown in its place."""

    svg: str
    live: str = ""


@dataclass(frozen=True)
class StudySection:
    """A study: its drawings, the depths if it searched them, its trials."""

    name: str
    summary: str
    drawings: tuple[Drawing, ...]
    depths: Table | None
    trials: Table


@dataclass(frozen=True)
class Cell:
    """A count in a confusion matrix and its share of the row, percent."""

    text: str
    share: int


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix, rows the true class."""

    caption: str
    classes: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class ShownView:
    """A test image and what it is taken for; `image` is for `src`, None when it is not shown or not there."""

    true: str
    predicted: str
    how_sure: str
    name: str
    image: str | None
    heat: str | None = None
    """The image with a heat map."""


@dataclass(frozen=True)
class CardPart:
    """A heading of a model card, its paragraphs, and its table."""

    title: str
    lines: tuple[str, ...]
    table: Table | None


@dataclass(frozen=True)
class TestedSection:
    """A tested configuration."""

    __test__ = False  # no test, though pytest would take it for one

    label: str
    summary: str
    metrics: Table
    matrices: tuple[Matrix, ...]
    operating: Drawing | None
    chosen: tuple[str, ...]
    """What was chosen on validation, and what it does on test, by slice and by patient."""
    decision: Drawing | None
    referral: Table
    """The least sure images left to a person: how often the network is wrong on the rest."""
    risk: Drawing
    subgroups: tuple[Table, ...]
    mistakes: tuple[ShownView, ...]
    """One a patient, the most confident first."""
    right: tuple[ShownView, ...]
    """Of every class the surest that is right."""
    curves: Drawing | None = None
    """Loss and accuracy by epoch, of a single run."""
    card: tuple[CardPart, ...] = ()
    """The model card of its first run."""


@dataclass(frozen=True)
class ClaimCell:
    """What was found, the verdict, and what that rests on; `kind` is the verdict's first word, for its colour."""

    found: str
    verdict: str
    why: str

    @property
    def kind(self) -> str:
        """First word of the verdict."""
        return self.verdict.split()[0]


@dataclass(frozen=True)
class ClaimTable:
    """A published report's values beside those found here; a row is what, what the report says, and the cells."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[ClaimCell, ...]], ...]


@dataclass(frozen=True)
class CardSection:
    """A published report beside the runs."""

    title: str
    conditions: str
    judged: str
    """What the verdicts mean."""
    metrics: ClaimTable | None
    untested: str
    """What to say in place of `metrics`."""
    search: ClaimTable


@dataclass(frozen=True)
class Picture:
    """An image for `src` and what stands below it."""

    image: str
    caption: str = ""


@dataclass(frozen=True)
class Strip:
    """Pictures under one heading."""

    title: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class DataSection:
    """The data set of the runs: how it is split, what leaks, how it looks."""

    tables: tuple[Table, ...]
    facts: tuple[Table, ...]
    """Sizes, kinds and ranges by class."""
    strips: tuple[Strip, ...]
    """Slices of each class as they arrive in the network; none where images are not shown."""
    sizes: Drawing | None
    text: str
    """All of it in words, as `frostline data` prints it."""


@dataclass(frozen=True)
class ChecklistSection:
    """A reporting checklist, an item a row: number, section, what is asked, the answer."""

    title: str
    name: str
    source: str
    summary: str
    table: Table


@dataclass(frozen=True)
class Page:
    """All of it, in the order in which it stands."""

    title: str
    made: str
    images: bool
    """Whether it shows and names files of the data set."""
    sentences: Sequence[str]
    glance: dict[str, str]
    studies: Sequence[StudySection]
    tested: Sequence[TestedSection]
    cards: Sequence[CardSection]
    gaps: Sequence[Table]
    common: dict[str, str]
    """What is the same in all runs."""
    runs: Table
    broken: Sequence[str]
    data: DataSection | None
    commands: Sequence[str]
    trained_by: dict[str, str] = field(default_factory=dict)
    checklists: Sequence[ChecklistSection] = ()
    script: str = ""
    """What the curves that answer a pointer need; empty where there are none."""
