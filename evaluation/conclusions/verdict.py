"""The verdict of a comparison, by rules: "ship", "not yet" or "cannot tell", and the four tiles.

The verdict is about one model, the subject: the one that the controls were made from, else the
first that is not a control. Four questions are answered from the figures, a tile each:

- known: is the subject shown to beat the baseline on known items, and not shown to be worse than
  another model?
- new in lists: do lists of everything show new items, and the right ones: shown to be better than
  random new items in the same places?
- who plays what: is the item-wise AUC of new items shown to be above chance, above that of a random
  order, and above that of the same model with shuffled audio?
- data: are there enough users and new items to tell?

An answer is "good", "bad" or "unknown". A difference counts where its interval and its p-value both
show it. Nothing is said of new items from fewer than ``LEAST_NEW_ITEMS``, and nothing good about
audio where a random order is not shown to be beaten. All "good" is "ship"; any "bad" is "not yet";
anything else is "cannot tell".
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from evaluation.comparison.bootstrap import Difference, Interval
from evaluation.comparison.comparison import Comparison
from evaluation.comparison.run import (
    NDCG_NEW,
    NEW_LARGEST_SHARE,
    NEW_SHARE,
    NEW_SHOWN,
    NEW_SHOWN_TO_TEN,
)
from evaluation.comparison.tables import FigureKey
from evaluation.comparison.trial import AT_BUDGET, AT_RANDOM, CATALOGUE, COLD_ITEMS, PLAYED
from evaluation.conclusions.audio_controls import audio_subject
from evaluation.conclusions.evidence import (
    LEAST_NEW_ITEMS,
    contenders,
    first_split,
    n_new_items_ranked,
    new_items_split,
    paired_gaps,
    split_info,
)
from evaluation.conclusions.wording import format_number, join_names, quote_name
from evaluation.metrics.ranking import ITEM_AUC
from evaluation.models.controls import (
    POPULARITY_ORACLE,
    RANDOM,
    SAME_FOR_EVERYBODY,
    SHUFFLED_AUDIO,
    STANDALONE_CONTROLS,
    control_name,
)

LEAST_USERS: Final = 50
"""Fewest test users to judge lists by. nDCG differs between two models by a standard deviation of
about .2 from user to user, so 50 users show a difference of .08 four times of five."""

LEAST_SHARE: Final = 0.01
"""Least share of places that new items must have: a user who gets ten lists of ten sees one."""

LARGEST_SHARE: Final = 0.5
"""Share of the users that one new item may be shown to: more is one song for everybody."""

NEGLIGIBLE_AUC: Final = 0.05
"""A gain in item-wise AUC that counts as none: "bad" is said where larger ones are excluded."""

NEGLIGIBLE_NDCG: Final = 0.05
"""The same for nDCG on known items, as a share of the baseline's."""

Outcome = Literal["ship", "not yet", "cannot tell"]
Answer = Literal["good", "bad", "unknown"]


@dataclass(frozen=True)
class Tile:
    """One question of a verdict, answered."""

    name: str
    """``"known"``, ``"new in lists"``, ``"who plays what"`` or ``"data"``."""
    title: str
    state: Answer
    value: str
    """The figure that counts most, as text; – where there is none."""
    unit: str
    """What the figure is."""
    lines: tuple[str, ...]
    """Other figures, a short line each."""
    answer: str
    """The answer in a sentence."""
    figures: Mapping[str, float | int | None]
    """The figures as numbers; None where one is not defined."""


@dataclass(frozen=True)
class Verdict:
    """What a comparison says about releasing one model; see ``judge``.

    Examples:
        >>> found = judge(comparison)
        >>> found.outcome, [tile.state for tile in found.tiles]
        ('cannot tell', ['unknown', 'unknown', 'unknown', 'unknown'])
    """

    outcome: Outcome
    model: str
    """The model that it is about."""
    reason: str
    """Why, in a sentence or two."""
    tiles: tuple[Tile, Tile, Tile, Tile]
    """Known items, new items in whole lists, who plays what, how much data."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: verdict, verdict_model, verdict_reason and tiles."""
        return {
            "verdict": self.outcome,
            "verdict_model": self.model,
            "verdict_reason": self.reason,
            "tiles": [{**asdict(tile), "lines": list(tile.lines)} for tile in self.tiles],
        }


def judge(comparison: Comparison, noun: str = "songs") -> Verdict:
    """Judge by rules whether a model is ready to be released.

    Args:
        comparison: the comparison. New items are judged by its first mixed split, else its first
            cold one; who plays what by its first cold split, else its mixed one; known items by its
            first warm split, else by those of the mixed one.
        noun: what the items are called, in the plural.

    Returns:
        The verdict with its four tiles.

    Examples:
        >>> from evaluation import judge
        >>> print(judge(comparison).reason)  # doctest: +ELLIPSIS
        Whether popularity is ready cannot be told: ...
    """
    model = subject(comparison)
    tiles = (
        _known(comparison, model, noun),
        _in_lists(comparison, model, noun),
        _who_plays_what(comparison, model, noun),
        _data(comparison, noun),
    )
    states = [tile.state for tile in tiles]
    outcome: Outcome = "cannot tell"
    if "bad" in states:
        outcome = "not yet"
    elif set(states) == {"good"}:
        outcome = "ship"
    return Verdict(outcome, model, _reason(outcome, model, tiles), tiles)


def subject(comparison: Comparison) -> str:
    """Return the model that a verdict is about.

    It is the one that a control with shuffled audio was made from, else the first that is neither a
    control nor the baseline, else the first.
    """
    made_of = audio_subject(comparison)
    if made_of is not None:
        return made_of
    models = contenders(comparison)
    no_subject = {comparison.baseline, *STANDALONE_CONTROLS}
    return next((name for name in models if name not in no_subject), models[0])


def _reason(outcome: Outcome, model: str, tiles: tuple[Tile, ...]) -> str:
    begin = {
        "ship": f"{quote_name(model)} is ready",
        "not yet": f"{quote_name(model)} is not ready",
        "cannot tell": f"Whether {quote_name(model)} is ready cannot be told",
    }[outcome]
    wanted = {"ship": "good", "not yet": "bad", "cannot tell": "unknown"}[outcome]
    because = [tile.answer.rstrip(".") for tile in tiles if tile.state == wanted]
    if outcome == "ship":
        because = because[:-1]  # that there was enough data goes without saying
    # Too little data is the reason of everything else that is not known.
    data = tiles[-1]
    if outcome == "cannot tell" and data.state == "unknown":
        because = [data.answer.rstrip(".")]
    lowered = [text[:1].lower() + text[1:] if text[:2].istitle() else text for text in because]
    return f"{begin}: {'; '.join(lowered)}."


# Known items


def _known(comparison: Comparison, model: str, noun: str) -> Tile:
    title, k = f"Known {noun}", comparison.ks[0]
    place = _known_place(comparison)
    if place is None:
        return _missing("known", title, f"Known {noun} were not measured.")
    figures, baseline = comparison.figures(), comparison.baseline
    own = figures[(*place, model, "ndcg", k)]
    base = figures[(*place, baseline, "ndcg", k)]
    others = [
        name
        for name in contenders(comparison)
        if name not in (model, baseline) and (*place, name, "ndcg", k) in figures
    ]
    best = max(others, key=lambda name: figures[(*place, name, "ndcg", k)].mean, default=None)
    lines = [] if model == baseline else [f"{baseline} {format_number(base.mean)}"]
    if best is not None:
        lines.append(f"best other: {best} {format_number(figures[(*place, best, 'ndcg', k)].mean)}")
    state, answer = _known_answer(comparison, (*place, model, "ndcg", k), base, noun)
    return Tile(
        "known",
        title,
        state,
        format_number(own.mean),
        f"nDCG@{k}",
        tuple(lines),
        answer,
        {"ndcg": _number(own.mean), "ndcg_baseline": _number(base.mean)},
    )


def _known_place(comparison: Comparison) -> tuple[str, str] | None:
    """The split and candidates that known items are judged by."""
    warm, mixed = first_split(comparison, "warm"), first_split(comparison, "mixed")
    measured = {(key[0], key[1]) for key in comparison.figures()}
    if warm is not None:
        return warm, CATALOGUE
    if mixed is not None and (mixed, PLAYED) in measured:
        return mixed, PLAYED
    return None


def _known_answer(
    comparison: Comparison, key: FigureKey, base: Interval, noun: str
) -> tuple[Answer, str]:
    model, baseline = key[2], comparison.baseline
    n = split_info(comparison, key[0])["test_users"]
    if n < LEAST_USERS:
        return "unknown", f"Only {n} listeners were tested on known {noun}."
    if model == baseline:
        return "unknown", f"No model was compared with {quote_name(baseline)}."
    gap = comparison.gaps("baseline")[key][1]
    behind = comparison.gaps("best").get(key)
    if behind is not None and behind[1].shown and behind[1].mean < 0 and behind[0] != baseline:
        return "bad", f"{behind[0]} is shown to be better on known {noun}."
    if gap.shown and gap.mean > 0:
        return "good", f"Better than {baseline}, and no other model is shown to be better."
    if gap.shown:
        return "bad", f"Worse than {baseline} on known {noun}."
    if gap.high < NEGLIGIBLE_NDCG * base.mean:
        return "bad", f"No better than {baseline} on known {noun}."
    return "unknown", f"Not shown to beat {baseline} on known {noun}."


# New items in whole lists


def _in_lists(comparison: Comparison, model: str, noun: str) -> Tile:
    title, k = f"New {noun} in real lists", comparison.ks[0]
    split = first_split(comparison, "mixed") or first_split(comparison, "cold")
    if split is None:
        return _missing("new in lists", title, f"New {noun} were not measured.")
    place = (split, CATALOGUE, model)
    at_random = (split, CATALOGUE + AT_RANDOM, model)
    found, n_new = comparison.figures(), int(split_info(comparison, split)["cold_items"])
    shown, ten, largest = (
        found[(*place, metric, k)].mean
        for metric in (NEW_SHOWN, NEW_SHOWN_TO_TEN, NEW_LARGEST_SHARE)
    )
    share = _share_of_places(comparison, (*place, NEW_SHARE, k))
    new, drawn = (found.get((*where, NDCG_NEW, k)) for where in (place, at_random))
    cost = _cost(comparison, split, model)
    lines = [f"{shown:,.0f} of {n_new:,} shown, {ten:,.0f} to ten listeners or more"]
    if shown == 0:
        lines = [f"0 of {n_new:,} shown"]
    if shown > 0 and new is not None and drawn is not None:
        lines.append(
            f"nDCG@{k} {format_number(new.mean)}; random ones there {format_number(drawn.mean)}"
        )
    if shown > 0 and cost is not None:
        lines.append(f"costs {cost:.1%} of nDCG" if cost > 0 else "costs no nDCG")
    state, answer = _in_lists_answer(comparison, split, model, noun)
    return Tile(
        "new in lists",
        title,
        state,
        f"{share:.1%}",
        f"of the places in lists of {k}",
        tuple(lines),
        answer,
        {
            "share": _number(share),
            "shown": int(shown),
            "shown_to_ten": int(ten),
            "new_items": n_new,
            "largest_share": _number(largest),
            "ndcg_new": None if new is None else _number(new.mean),
            "ndcg_new_at_random": None if drawn is None else _number(drawn.mean),
            "cost": cost,
        },
    )


def _in_lists_answer(
    comparison: Comparison, split: str, model: str, noun: str
) -> tuple[Answer, str]:
    k, found, facts = comparison.ks[0], comparison.figures(), split_info(comparison, split)
    place = (split, CATALOGUE, model)
    n_new = n_new_items_ranked(facts) or 0
    if n_new < LEAST_NEW_ITEMS:
        return "unknown", f"Only {n_new} new {noun}: at least {LEAST_NEW_ITEMS} are needed."
    if facts["test_users"] < LEAST_USERS:
        return "unknown", f"Only {facts['test_users']} listeners were tested on new {noun}."
    share = _share_of_places(comparison, (*place, NEW_SHARE, k))
    largest = found[(*place, NEW_LARGEST_SHARE, k)].mean
    if share == 0:
        return "bad", f"No new {_singular(noun)} is in anybody’s list."
    if share < LEAST_SHARE:
        return "bad", f"Lists hardly show new {noun}: fewer than one place in a hundred."
    if largest > LARGEST_SHARE:
        return "bad", f"One new {_singular(noun)} is in {largest:.0%} of the lists."
    keys = ((*place, NDCG_NEW, k), (split, CATALOGUE + AT_RANDOM, model, NDCG_NEW, k))
    if not all(key in comparison.values for key in keys):
        return "unknown", f"No new {_singular(noun)} that was tested could be in a list."
    [gap] = paired_gaps(comparison, [keys])
    if _gains(gap):
        return "good", f"New {noun} are shown, and better ones than at random."
    if gap.shown:
        return "bad", f"Random new {noun} in the same places would do better."
    return "unknown", f"Not shown to be better than random new {noun} in the same places."


def _share_of_places(comparison: Comparison, key: FigureKey) -> float:
    """The share of places that new items take; 0 where nobody has a list."""
    value = comparison.figures().get(key)
    return 0.0 if value is None or math.isnan(value.mean) else value.mean


def _cost(comparison: Comparison, split: str, model: str) -> float | None:
    """The share of nDCG that the model's own lists lose against the budget 0."""
    k, found = comparison.ks[0], comparison.figures()
    free = found.get((split, f"{AT_BUDGET}0", model, "ndcg", k))
    own = found[(split, CATALOGUE, model, "ndcg", k)]
    return None if free is None or free.mean <= 0 else _number(1 - own.mean / free.mean)


# Who plays what


def _who_plays_what(comparison: Comparison, model: str, noun: str) -> Tile:
    title = "Who plays what"
    split = new_items_split(comparison)
    key: FigureKey = (split or "", COLD_ITEMS, model, ITEM_AUC, None)
    if split is None or key not in comparison.figures():
        return _missing("who plays what", title, f"New {noun} were not measured.")
    n = int(split_info(comparison, split)["auc_items"])
    own, figures = comparison.figures()[key], comparison.figures()
    rivals = {
        name: figures[other].mean
        for name in comparison.controls
        if (other := (split, COLD_ITEMS, name, ITEM_AUC, None)) in figures
    }
    shown_names = {name: name.removeprefix(f"{model}, ") for name in rivals}
    few = n < LEAST_NEW_ITEMS
    # Of these two the AUC is 0.5 by definition.
    said_nothing = {POPULARITY_ORACLE, control_name(model, SAME_FOR_EVERYBODY)}
    lines = tuple(
        f"{shown_names[name]} {mean:.2f}"
        for name, mean in sorted(rivals.items(), key=lambda pair: -pair[1])
        if not few and name not in said_nothing
    )
    state, answer = _auc_answer(comparison, split, model, noun)
    return Tile(
        "who plays what",
        title,
        state,
        # No figure that could be taken for a verdict where there can be none.
        "–" if few else f"{own.mean:.2f}",
        "item-wise AUC" if few else "item-wise AUC; chance is 0.50",
        (", ".join(lines),) if lines else (),
        answer,
        {
            "item_auc": _number(own.mean),
            "low": _number(own.low),
            "high": _number(own.high),
            "items": n,
            **{f"item_auc {name}": _number(mean) for name, mean in rivals.items()},
        },
    )


def _auc_answer(comparison: Comparison, split: str, model: str, noun: str) -> tuple[Answer, str]:
    n = int(split_info(comparison, split)["auc_items"])
    if n < LEAST_NEW_ITEMS:
        return "unknown", (
            f"No verdict about audio from {n} new {noun}: at least {LEAST_NEW_ITEMS} are needed."
        )
    against = auc_rivals(comparison, split, model)
    key: FigureKey = (split, COLD_ITEMS, model, ITEM_AUC, None)
    pairs: list[tuple[FigureKey, FigureKey | None]] = [
        (key, None if name is None else (split, COLD_ITEMS, name, ITEM_AUC, None))
        for name in against
    ]
    # All must be shown, so that none of the p-values needs a correction.
    gaps = dict(zip(against.values(), paired_gaps(comparison, pairs, corrected=False), strict=True))
    unbeaten = [words for words, gap in gaps.items() if not _gains(gap)]
    if not unbeaten:
        return "good", (
            "The audio tells who plays what."
            if len(against) > 1 and control_name(model, SHUFFLED_AUDIO) in against
            else "It is known who plays what; no control shows that this is the audio’s doing."
        )
    if any(gaps[words].high < NEGLIGIBLE_AUC for words in unbeaten):
        return "bad", f"No better than {join_names(unbeaten)}: the audio adds nothing here."
    return "unknown", f"Not shown to be better than {join_names(unbeaten)}."


def auc_rivals(comparison: Comparison, split: str, model: str) -> dict[str | None, str]:
    """Return what the item-wise AUC of a model must beat before the audio is said to work.

    Returns:
        {name of a model, None for the chance 0.5: how it is called in a sentence}.
    """
    named = {RANDOM: "a random order", control_name(model, SHUFFLED_AUDIO): "shuffled audio"}
    measured: dict[str | None, str] = {
        name: words
        for name, words in named.items()
        if name != model and (split, COLD_ITEMS, name, ITEM_AUC, None) in comparison.values
    }
    return {None: "chance", **measured}


# Data


def _data(comparison: Comparison, noun: str) -> Tile:
    facts = list(comparison.splits)
    users = max(int(split["test_users"]) for split in facts)
    split = new_items_split(comparison)
    n_new = 0 if split is None else int(split_info(comparison, split)["auc_items"])
    plays = sum(int(split["test_rows"]) for split in facts)
    folds = sum(max(len(split["folds"]), 1) for split in facts)
    state, answer = _data_answer(users, n_new, split is not None, noun)
    return Tile(
        "data",
        "What it rests on",
        state,
        f"{n_new:,}",
        f"new {noun} tested",
        (
            f"{users:,} listeners, {plays:,} held-out plays",
            f"{folds} splits" if folds != 1 else "1 split",
        ),
        answer,
        {"users": users, "new_items": n_new, "test_plays": plays, "splits": folds},
    )


def _data_answer(users: int, n_new: int, measured: bool, noun: str) -> tuple[Answer, str]:
    if not measured:
        return "unknown", f"New {noun} were not measured."
    few = []
    if n_new < LEAST_NEW_ITEMS:
        few.append(f"{n_new} new {noun} (at least {LEAST_NEW_ITEMS} are needed)")
    if users < LEAST_USERS:
        few.append(f"{users} listeners (at least {LEAST_USERS} are needed)")
    if few:
        return "unknown", f"Only {join_names(few)}."
    limits = f"{LEAST_NEW_ITEMS} new {noun} and {LEAST_USERS} listeners"
    return "good", f"Enough to tell: the least is {limits}."


def _missing(name: str, title: str, answer: str) -> Tile:
    return Tile(name, title, "unknown", "–", "not measured", (), answer, {})


def _gains(gap: Difference) -> bool:
    return gap.shown and gap.mean > 0


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _singular(noun: str) -> str:
    return noun.removesuffix("s")
