"""Simulated predictions of grouped images whose truth is known, for coverage.py and verdicts.py."""

from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

SIZES = {  # images of each group of IQ-OTH/NCCD, 867 images, by `frostline data` (split by patient as far as is known)
    "benign": (18, 16, 15, 10, 8, 7, 5, 5, 4, 3, 1, 1),
    "malignant": (54, 33, 31, 31, 28, 27, 27, 23, 22, 20, 20, 19, 16, 16, 13, 12, 12, 10, 8, 8, 6, 4, 1),
    "normal": (45, 38, 38, 29, 26, 25, 23, 21, 17, 16, 14, 11, 11, 8, 6, 3, 2),
}
PAIRS = 200_000
Simulated = tuple[np.ndarray, np.ndarray, np.ndarray]


class World:
    """Three classes in the mix of `SIZES`; right with `accuracy`, correlated by `correlation` within a group.

    The logits of an image are normal around its class; what a group shares of them is set so that right and wrong have
    the wanted correlation. With `harder` benign and normal are harder than malignant, as in the real data.
    """

    def __init__(self, groups: int, correlation: float, accuracy: float, harder: bool = False) -> None:
        wrong = 1 - accuracy
        self.accuracy = accuracy
        levels = (1 - 3 * wrong, 1 - wrong / 4, 1 - 1.3 * wrong) if harder else (accuracy,) * 3
        self.ahead = np.array([ahead(max(level, 0.4)) for level in levels])
        self.shared = shared_part(correlation, ahead(accuracy))
        total = sum(map(len, SIZES.values()))
        counts = [max(1, round(groups * len(sizes) / total)) for sizes in SIZES.values()]
        counts[1] += groups - sum(counts)
        self.counts = counts

    def draw(self, rng: np.random.Generator) -> Simulated:
        """Probabilities [N, 3], classes [N] and groups [N]."""
        of_group = np.repeat(np.arange(3), self.counts)
        sizes = np.concatenate([rng.choice(s, n) for s, n in zip(SIZES.values(), self.counts, strict=True)])
        groups = np.repeat(np.arange(len(sizes)), sizes)
        noise = np.sqrt(self.shared) * rng.standard_normal((len(sizes), 3))[groups]
        noise += np.sqrt(1 - self.shared) * rng.standard_normal((len(groups), 3))
        return self._probabilities(noise, of_group[groups]), of_group[groups], groups

    @cached_property
    def population(self) -> tuple[np.ndarray, np.ndarray]:
        """Many independent images: the truth."""
        rng = np.random.default_rng(9)
        mix = np.array([n * np.mean(s) for s, n in zip(SIZES.values(), self.counts, strict=True)])
        targets = rng.choice(3, 400_000, p=mix / mix.sum())
        return self._probabilities(rng.standard_normal((len(targets), 3)), targets), targets

    def _probabilities(self, noise: np.ndarray, targets: np.ndarray) -> np.ndarray:
        logits = noise.copy()
        logits[np.arange(len(targets)), targets] += self.ahead[targets]
        logits *= max(float(self.ahead.mean()), 0.3)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        probabilities: np.ndarray = powers / powers.sum(1, keepdims=True)
        return probabilities


def ahead(accuracy: float) -> float:
    """How far the true one of three normal logits is ahead to be the largest in `accuracy` of images."""
    x = np.linspace(-10, 10, 4001)
    return float(brentq(lambda d: np.trapezoid(norm.pdf(x) * norm.cdf(x + d) ** 2, x) - accuracy, -5, 15))


def shared_part(correlation: float, distance: float) -> float:
    """Share of the variance of logits that gives right and wrong of two images that correlation."""
    rng = np.random.default_rng(123)
    a, b, both = (rng.standard_normal((PAIRS, 3)) for _ in range(3))

    def found(shared: float) -> float:
        right = []
        for own in (a, b):
            logits = np.sqrt(shared) * both + np.sqrt(1 - shared) * own
            logits[:, 0] += distance
            right.append(logits.argmax(1) == 0)
        return float(np.corrcoef(*right)[0, 1])

    low, high = 0.0, 1.0
    for _ in range(25 if correlation else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if found(middle) < correlation else (low, middle)
    return low if correlation else 0.0


def draw_study(
    rng: np.random.Generator,
    groups: int,
    accuracies: np.ndarray,
    seeds: int,
    spread: float,
    correlation: float = 0.5,
    common: float = 0.6,
    sizes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Whether networks are right, bool [T, S, N], and groups [N]: T configurations with `accuracies` [T], S seeds each.

    Probit: `common` is what all networks share of an image's latent difficulty, `correlation` what images of a group
    share of that and of each network's own part; `spread` is the standard deviation of the accuracy between seeds.
    """
    every = np.concatenate([np.array(s) for s in SIZES.values()]) if sizes is None else sizes
    of_groups = rng.choice(every, groups)
    group = np.repeat(np.arange(groups), of_groups)
    shape = len(accuracies), seeds
    latent = np.sqrt(common * correlation) * rng.standard_normal(groups)[group]
    latent = latent + np.sqrt(common * (1 - correlation)) * rng.standard_normal(len(group))
    own = np.sqrt((1 - common) * correlation) * rng.standard_normal((*shape, groups))[:, :, group]
    own += np.sqrt((1 - common) * (1 - correlation)) * rng.standard_normal((*shape, len(group)))
    level = norm.ppf(accuracies)
    steep = np.maximum(norm.pdf(level), 0.05)
    moved = spread / steep  # on the latent scale
    shift = rng.standard_normal(shape) * moved[:, None]
    limit = level * np.sqrt(1 + moved**2)  # keeps the mean over seeds
    return latent + own + shift[:, :, None] < limit[:, None, None], group
