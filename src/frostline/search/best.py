"""The best settings of a study, and the file of options that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import yaml  # type: ignore[import-untyped]  # it ships no types
from optuna.trial import FrozenTrial

from frostline.config.compose import compose_values
from frostline.config.groups import own_choices
from frostline.config.schema import RunConfig
from frostline.evaluation.intervals import DIGITS
from frostline.files import write_text
from frostline.search.race import has_left, standing_of
from frostline.search.repeats import Key, by_settings, key_of, repeat_of, settings_of, value_of
from frostline.search.study import ABOUT
from frostline.search.trials import trials_of

OF_A_RUN = ("study", "seed", "test", "logs_dir", "resume", "trial")  # these the next run says itself


class Best(NamedTuple):
    """The settings with the highest score over their repeats."""

    settings: dict[str, Any]
    trial: int
    value: float
    repeats: tuple[dict[str, Any], ...]
    """Seed and fold of each trial of it; of a single one empty."""
    ties: list[dict[str, Any]]
    """Other settings with the same score."""


def best_settings(study: optuna.Study) -> Best:
    """Settings with the highest score, pooled over folds and then the mean of seeds; of equal ones those tried first.

    Those compete that have all seeds and folds that were asked for of them, on what is common to all of these: one
    lucky seed is no mean of three, and a study may have been asked for more of some settings than of others. A sampler
    may draw the same settings twice, with the same seed: that is one, and its first value counts. In a race those that
    have not left compete, on what was done at its last look, or more. Raises `LookupError` when no trial is complete.
    """
    repeats, shared = _compete(study)
    scores = _scores(study, repeats, shared)
    if not scores:
        raise LookupError("no trial is complete")
    key = max(scores, key=lambda k: scores[k])
    counted = {r: t for r, t in repeats[key].items() if r in shared}
    best = max(counted.values(), key=lambda t: t.value or 0)
    ties = [dict(k) for k in scores if k != key and scores[k] == scores[key]]
    return Best(dict(key), best.number, scores[key], tuple(dict(r) for r in counted), ties)


def rank_settings(study: optuna.Study) -> list[Key]:
    """The settings that compete to be the best and lack nothing, the best first; of equal ones those tried first."""
    repeats, shared = _compete(study)
    asked = asked_of(study, [*repeats])
    scores = _scores(study, {k: of for k, of in repeats.items() if asked[k] <= set(of)}, shared)
    return sorted(scores, key=lambda key: -scores[key])


Repeats = dict[Key, dict[Key, FrozenTrial]]


def _compete(study: optuna.Study) -> tuple[Repeats, set[Key]]:
    """The settings that compete, by repeat, and the repeats on which they do."""
    repeats = by_settings(trials_of(study))
    if not repeats:
        return {}, set()
    if (standing := standing_of(study)) is not None:
        repeats = {key: of for key, of in repeats.items() if not has_left(standing, dict(key), decided=False)}
        done = {key_of(repeat) for repeat in standing.done}
        common = set.intersection(*(set(of) for of in repeats.values())) if repeats else set()
        return repeats, common if common > done else done
    asked = asked_of(study, [*repeats])
    whole = {key: of for key, of in repeats.items() if asked[key] <= set(of)}
    common = set.intersection(*(asked[key] for key in whole)) if whole else set()
    if common:
        return whole, common
    return repeats, max((set(of) for of in repeats.values()), key=len)


def _scores(study: optuna.Study, repeats: Repeats, shared: set[Key]) -> dict[Key, float]:
    objective = str(study.user_attrs[ABOUT]["objective"])
    return {
        key: round(value_of([of[r] for r in of if r in shared], objective), DIGITS)
        for key, of in repeats.items()
        if shared <= set(of)
    }


def asked_of(study: optuna.Study, keys: Iterable[Key]) -> dict[Key, set[Key]]:
    """The repeats that were asked for of settings: by a grid's cells, else by the last call of a search."""
    about = study.user_attrs[ABOUT]
    of_all = {key_of(repeat) for repeat in about.get("repeats", ())}
    if about.get("cells") is None:
        return {key: of_all or {()} for key in keys}
    asked: dict[Key, set[Key]] = {}
    for cell in about["cells"]:
        asked.setdefault(key_of(settings_of(cell)), set()).add(key_of(repeat_of(cell)))
    return {key: asked.get(key, of_all) or {()} for key in keys}


def write_best(folder: Path, study: str, config: RunConfig) -> None:
    """Write `best.yaml` to the folder of a study: what `train.py --config-dir=logs +NAME=best` takes."""
    write_text(folder / "best.yaml", best_yaml(study, config), private=True)  # it says where the data are


def best_yaml(study: str, config: RunConfig) -> str:
    """The options of `config`, but for those of a single run, as a file of `conf/`.

    It names choices that come with frostline, and holds the values of all others: nobody else has those files.
    """
    defaults = compose_values([])
    chosen: dict[str, str | None] = {}
    for group, section in asdict(config).items():
        name = section.get("name") if isinstance(section, dict) else None
        if name in own_choices(group) and name != defaults[group]["name"]:
            chosen[group] = name
    base = compose_values([f"{group}={name}" for group, name in chosen.items()])
    for group, section in asdict(config).items():
        if isinstance(section, dict) and own_choices(group) and _holds_more(base[group], section):
            chosen[group], base[group] = None, {}  # what a choice of ours brings cannot be taken away again
    content = {
        "defaults": [{f"override /{group}": name} for group, name in chosen.items()],
        **_differing({k: v for k, v in asdict(config).items() if k not in OF_A_RUN}, base),
    }
    head = (
        f"# @package _global_\n# Settings of study {study} with the highest validation score, over its other options.\n"
    )
    return head + str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _holds_more(base: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether `base` has a key, at any depth, that `wanted` has not."""
    return any(
        key not in wanted or (isinstance(value, dict) and _holds_more(value, wanted[key]))
        for key, value in base.items()
    )


def _differing(wanted: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    differing = {}
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            if inner := _differing(value, base[key]):
                differing[key] = inner
        elif key not in base or base[key] != value:
            differing[key] = value
    return differing
