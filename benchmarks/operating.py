"""What thresholds, predictive values, subgroup tests and calibration figures hold: python benchmarks/operating.py.

Simulated images in groups of the sizes of a validation set of 135 images (49 groups, worth 17.6 of equal size).
Prints Markdown tables, in under 3 minutes on one core.
"""

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from frostline.evaluation.intervals import LEVEL, proportion_interval
from frostline.evaluation.intervals import effective_number as equal_groups
from frostline.evaluation.operating_point import at_threshold, choose_threshold
from frostline.evaluation.seeds import Repeats
from frostline.evaluation.subgroups import interaction
from frostline.evaluation.tolerance import demand, independent_images, needed_number
from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import Task
from frostline.text import percent

SIZES = np.array([19, 16, 10, 8, 8, 7, 5] + [4] * 2 + [3] * 2 + [2] * 10 + [1] * 28)
SENSITIVITY, CONFIDENCE = 0.95, 0.9
AHEAD = 2.93  # standard deviations between positives and others: specificity is 90 % where sensitivity is 95 %
OTHERS = 20 / 29  # groups of the other classes for each of positives
APART, FAR = 0.1, 2.5  # a tenth of the groups scores so much lower as a whole
TASK = Task(("benign", "malignant"), "malignant")


def draw_groups(rng: np.random.Generator, count: int) -> np.ndarray:
    """Group of every image, int [N], of `count` groups."""
    return np.repeat(np.arange(count), rng.choice(SIZES, count))


def latent(rng: np.random.Generator, groups: np.ndarray, correlation: float) -> np.ndarray:
    """Standard normal values [N] that correlate within groups."""
    shared = rng.normal(size=groups.max() + 1)[groups]
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * rng.normal(size=len(groups))


def threshold_row(count: int, correlation: float, apart: bool, singles: bool, repeats: int = 1000) -> str:
    """Both rules for `count` groups of positives: true sensitivity, how often it is kept, specificity."""
    rng = np.random.default_rng(0)
    shift = AHEAD + (APART * FAR if apart else 0.0)
    found, spared, had, worth, images = {False: [], True: []}, {False: [], True: []}, [], [], []
    for _ in range(repeats):
        positives, others = (np.arange(n) if singles else draw_groups(rng, n) for n in (count, round(count * OTHERS)))
        of_class = shift + latent(rng, positives, correlation)
        if apart:
            of_class = of_class - FAR * (rng.random(count) < APART)[positives]
        scores = np.concatenate([of_class, latent(rng, others, correlation)])
        positive = np.arange(len(scores)) < len(of_class)
        worth.append(independent_images(of_class, positives))
        images.append(len(of_class))
        asked = demand(SENSITIVITY, CONFIDENCE, worth[-1])
        had.append(asked.kept >= CONFIDENCE)
        for rule, share in ((False, SENSITIVITY), (True, asked.share)):
            t = choose_threshold(scores, positive, share)
            true = norm.cdf(shift - t)
            if apart:
                true = (1 - APART) * true + APART * norm.cdf(shift - FAR - t)
            found[rule].append(true)
            spared[rule].append(norm.cdf(t))
    cells = [f"{count}", f"{np.mean(images):.0f}", f"{np.mean(worth):.0f}"]
    for rule in (False, True):
        kept = np.array(found[rule]) >= SENSITIVITY
        cells += [percent(np.mean(found[rule])), percent(kept.mean()), percent(np.mean(spared[rule]))]
    return " | ".join([*cells, percent(np.mean(had))])


def thresholds() -> None:
    """How often a threshold chosen on validation keeps the wanted sensitivity elsewhere."""
    print(f"## A threshold for a sensitivity of {percent(SENSITIVITY)}, without and with a confidence of 0.9\n")
    print(
        "1,000 repetitions; sensitivity and specificity are the true ones of the threshold chosen, kept: how often the "
        f"sensitivity is {percent(SENSITIVITY)} or more. It takes {needed_number(SENSITIVITY, CONFIDENCE)} independent "
        "positives; with fewer the threshold finds all of validation. Can be had: how often validation has them.\n"
    )
    three = "sensitivity | kept | specificity"
    print(f"| positives | groups | images | worth | {three} | 0.9: {three} | can be had |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, correlation, apart, singles in (
        ("independent slices", 0.0, False, True),
        ("correlation 0.3", 0.3, False, False),
        ("correlation 0.9", 0.9, False, False),
        ("correlation 0.3, a tenth of the groups 2.5 SD lower", 0.3, True, False),
    ):
        for count in (29, 60, 120, 300):
            print(f"| {name} | {threshold_row(count, correlation, apart, singles)} |")


def predictions(
    rng: np.random.Generator, groups: np.ndarray, correlation: float, slope: float, shift: float
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, 2] and classes [N] with the given calibration slope and intercept of the second class."""
    said = 2.0 * latent(rng, groups, correlation)
    true = expit(shift + slope * said)
    targets = (norm.cdf(latent(rng, groups, correlation)) < true).astype(int)
    p = expit(said)
    return np.stack([1 - p, p], axis=1), targets


def squared_error(p: np.ndarray, targets: np.ndarray, groups: np.ndarray, bins: int = 15) -> tuple[float, float]:
    """Debiased squared calibration error: Kumar et al. 2019, and by pairs of images of different groups."""
    confidence = p.max(1)
    over = confidence - (p.argmax(1) == targets)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    by_image = by_group = 0.0
    for b in np.unique(place):
        here = place == b
        r, n = over[here], int(here.sum())
        right = (p.argmax(1) == targets)[here].mean()
        if n > 1:
            by_image += n / len(p) * (r.mean() ** 2 - right * (1 - right) / (n - 1))
        sums, sizes = np.bincount(groups[here], weights=r), np.bincount(groups[here])
        pairs = n**2 - (sizes**2).sum()
        if pairs:
            by_group += n / len(p) * (r.sum() ** 2 - (sums**2).sum()) / pairs
    return by_image, by_group


def calibration() -> None:
    """Mean of every calibration figure beside its truth."""
    print("\n## Calibration figures: mean over 400 repetitions, less the truth\n")
    names = ("calibration error", "root of Kumar's", "Kumar's, squared", "pairs of groups, squared", "overconfidence")
    print(f"| network | groups | correlation | {' | '.join(names)} | slope, median | intercept |")
    print(f"|---|---|---|{'---|' * (len(names) + 2)}")
    wanted = ("calibration_error", "overconfidence", "malignant/calibration_slope", "malignant/calibration_intercept")
    for name, slope, shift in (("calibrated", 1.0, 0.0), ("overconfident", 0.6, 0.0), ("says it too often", 1.0, -0.7)):
        big = np.random.default_rng(1)
        p, targets = predictions(big, np.arange(200_000), 0.0, slope, shift)
        truth = WeightedMetrics(p, targets, TASK, wanted).once()
        squared = squared_error(p, targets, np.arange(len(p)))[0]
        for count, correlation in ((49, 0.0), (49, 0.3), (300, 0.3)):
            rng = np.random.default_rng(0)
            rows = []
            for _ in range(400):
                groups = draw_groups(rng, count)
                p, targets = predictions(rng, groups, correlation, slope, shift)
                m = WeightedMetrics(p, targets, TASK, wanted).once()
                by_image, by_group = squared_error(p, targets, groups)
                root = np.sqrt(max(0.0, by_image)) - np.sqrt(max(0.0, squared))
                rows.append(
                    (
                        m["calibration_error"] - truth["calibration_error"],
                        root,
                        by_image - squared,
                        by_group - squared,
                        m["overconfidence"] - truth["overconfidence"],
                        m["malignant/calibration_slope"] - slope,
                        m["malignant/calibration_intercept"] - truth["malignant/calibration_intercept"],
                    )
                )
            table = np.array(rows)
            means = np.nanmean(table, axis=0)
            means[5] = np.nanmedian(table[:, 5])
            digits = (3, 3, 4, 4, 3, 2, 2)
            cells = " | ".join(f"{value:+.{d}f}" for value, d in zip(means, digits, strict=True))
            print(f"| {name} | {count} | {correlation} | {cells} |")


def predictive() -> None:
    """Coverage of PPV and NPV at a prevalence of 5 %, and of the same by Mercaldo's logit interval."""
    print("\n## PPV and NPV at a prevalence of 5 %: coverage of 95 % intervals, 1,000 repetitions\n")
    print("| groups of each class | correlation | PPV | NPV | PPV, Mercaldo's by image | NPV, Mercaldo's by image |")
    print("|---|---|---|---|---|---|")
    prevalence, t = 0.05, AHEAD - norm.ppf(SENSITIVITY)
    se, sp = SENSITIVITY, float(norm.cdf(t))
    truth = {
        "ppv": se * prevalence / (se * prevalence + (1 - sp) * (1 - prevalence)),
        "npv": sp * (1 - prevalence) / (sp * (1 - prevalence) + (1 - se) * prevalence),
    }
    for count in (30, 100):
        for correlation in (0.0, 0.3):
            rng, held = np.random.default_rng(0), np.zeros(4)
            for _ in range(1000):
                groups = draw_groups(rng, 2 * count)
                targets = (groups < count).astype(int)
                called, positive = latent(rng, groups, correlation) + AHEAD * targets >= t, targets == 1
                m = at_threshold(called, positive, groups, prevalence)
                held[:2] += [m[f"{k}/lower"] <= truth[k] <= m[f"{k}/upper"] for k in ("ppv", "npv")]
                held[2:] += mercaldo(called, positive, prevalence, truth)
            cells = " | ".join(percent(share) for share in held / 1000)
            print(f"| {count} | {correlation} | {cells} |")


def mercaldo(called: np.ndarray, positive: np.ndarray, prevalence: float, truth: dict[str, float]) -> list[bool]:
    """Whether the logit intervals of Mercaldo et al. 2007, by image, hold PPV and NPV."""
    n1, n0 = positive.sum(), (~positive).sum()
    se, sp = called[positive].mean(), (~called)[~positive].mean()
    odds = logit(prevalence)
    with np.errstate(divide="ignore", invalid="ignore"):
        ppv = odds + np.log(se / (1 - sp)), (1 - se) / (se * n1) + sp / ((1 - sp) * n0)
        npv = -odds + np.log(sp / (1 - se)), se / ((1 - se) * n1) + (1 - sp) / (sp * n0)
    return [
        bool(abs(value - logit(truth[key])) <= 1.96 * np.sqrt(variance))
        for key, (value, variance) in (("ppv", ppv), ("npv", npv))
    ]


def interactions() -> None:
    """How often the subgroup test errs, and how often it sees a difference."""
    print("\n## Subgroup test at 5 %: how often a difference in accuracy is said to be shown, 500 repetitions\n")
    print("| subgroups | groups | correlation | all 85 % | the last 65 % |")
    print("|---|---|---|---|---|")
    for levels in (2, 4):
        for count in (50, 150):
            for correlation in (0.0, 0.3, 0.9):
                said = [shown_share(levels, count, correlation, last) for last in (0.85, 0.65)]
                print(f"| {levels} | {count} | {correlation} | {' | '.join(map(percent, said))} |")


def shown_share(levels: int, count: int, correlation: float, last: float, repeats: int = 500) -> float:
    """Share of repetitions in which the accuracy is said to differ between subgroups, which whole groups belong to."""
    rng, shown = np.random.default_rng(0), 0
    for _ in range(repeats):
        groups = draw_groups(rng, count)
        level = rng.integers(0, levels, count)[groups]
        right = norm.cdf(latent(rng, groups, correlation)) < np.where(level == levels - 1, last, 0.85)
        members = [level == i for i in range(levels)]
        found = [Repeats((float(right[m].mean()),), proportion_interval(right[m], groups[m])) for m in members]
        worth = [equal_groups(np.unique(groups[m], return_counts=True)[1]) for m in members]
        shown += interaction("acc", found, worth).p < 1 - LEVEL
    return shown / repeats


if __name__ == "__main__":
    for part in (thresholds, calibration, predictive, interactions):
        part()
