"""What is left when the least sure images go to a person, as parts of a page."""

from __future__ import annotations

from frostline.evaluation.referral import SHARES, refer, risk_curve
from frostline.plots.referral import plot_risk
from frostline.report.svg import svg
from frostline.report.view import Drawing, Table
from frostline.runs.finished import FinishedRun
from frostline.text import interval, percent


def referral_table(run: FinishedRun) -> Table:
    """The test images of a run that are left, at limits chosen on validation."""
    val, test = run.predictions["val"], run.predictions["test"]
    rows = []
    for wanted in SHARES:
        r = refer(val.probabilities, test.probabilities, test.predicted == test.targets, test.groups, wanted)
        cells = (percent(r.referred), str(r.left), percent(r.risk), interval(*r.interval))
        rows.append((f"the least sure {100 * wanted:.0f} %" if wanted else "nothing", *cells))
    return Table(
        ("referred on validation", "referred on test", "images left", "of them wrong", "95 % interval"),
        tuple(rows),
        "Left to a person: images whose largest probability is below a limit chosen on validation "
        f"(seed {run.metrics['seed']}).",
    )


def risk_drawing(run: FinishedRun) -> Drawing:
    """Errors among the test images of a run by the share that is kept."""
    test = run.predictions["test"]
    curve = risk_curve(test.probabilities, test.predicted == test.targets)
    figure = plot_risk(*curve, f"{len(test)} test images, seed {run.metrics['seed']}")
    return Drawing(svg(figure, "errors by share kept"))
