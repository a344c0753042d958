"""What the figures allow one to say, in words, by rules.

A difference is stated only where its paired bootstrap interval leaves out 0; everything else is
"no difference shown", which is not the same as no difference.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.comparison import Comparison
from evaluation.metrics import ITEM_AUC
from evaluation.resampling import Interval
from evaluation.trial import CATALOGUE, COLD

_FEW_ITEMS = 50


def summarise(comparison: Comparison, noun: str = "songs") -> list[str]:
    """At most three sentences: new items, what the controls say about them, known items.

    ``noun`` is what the items are called; :func:`main_measure` decides which model is best.
    """
    sentences = []
    cold = first_split(comparison, "cold")
    if cold is not None:
        opening = f"On {noun} nobody has played"
        if main_measure(comparison, cold, COLD)[0] == ITEM_AUC:
            sentences.append(_personal_headline(comparison, cold, opening))
        else:
            sentences.append(_headline(comparison, cold, COLD, opening))
        sentences.append(_controls(comparison, cold))
    warm = first_split(comparison, "warm")
    if warm is not None:
        sentences.append(_headline(comparison, warm, CATALOGUE, f"On {noun} people play"))
    return sentences


def cautions(comparison: Comparison, noun: str = "songs") -> list[str]:
    """What a reader must know before trusting the figures; empty if there is nothing."""
    found = []
    shortest = comparison.ks[0]
    for split in comparison.splits:
        n_cold = split["cold_items"]
        if _too_few_for_lists(comparison, split):
            found.append(
                f"Split “{split['name']}” has {n_cold} cold {noun}: a list of {shortest} holds"
                " most of them, whoever makes it. The item-wise AUC takes the place of the lists."
            )
        if split["kind"] == "cold" and n_cold < _FEW_ITEMS:
            found.append(
                f"The intervals of split “{split['name']}” are over users; that only {n_cold}"
                f" {noun} were held out, and which, adds an uncertainty they do not show."
            )
        if split["auc_items_left_out"]:
            found.append(
                f"Split “{split['name']}”: {split['auc_items_left_out']} of {n_cold} cold {noun}"
                " have no item-wise AUC, as none or all of the users ranked are their listeners."
            )
        found.extend(_silent_models(comparison, split))
    return found


def first_split(comparison: Comparison, kind: str) -> str | None:
    """Name of the first split of a kind, None where there is none."""
    return next((split["name"] for split in comparison.splits if split["kind"] == kind), None)


def main_measure(comparison: Comparison, split: str, candidates: str) -> tuple[str, int | None]:
    """The metric and k that decide: nDCG at the shortest list.

    Among cold items it is the item-wise AUC where such a list holds half of them or more.
    """
    facts = next(facts for facts in comparison.splits if facts["name"] == split)
    if candidates == COLD and facts["auc_items"] and _too_few_for_lists(comparison, facts):
        return ITEM_AUC, None
    return "ndcg", comparison.ks[0]


def best_model(comparison: Comparison, split: str, candidates: str) -> str:
    """The model that is no control with the highest mean of :func:`main_measure`."""
    figures, measure = comparison.figures(), main_measure(comparison, split, candidates)
    contenders = [name for name in comparison.models if name not in comparison.controls]
    return max(contenders, key=lambda name: figures[(split, candidates, name, *measure)].mean)


def number(value: float) -> str:
    """A metric to three decimals; what would look like 0 and is not, as < 0.001."""
    return "<0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def listing(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; a name that has a comma itself is quoted."""
    names = [_called(name) for name in names]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _headline(comparison: Comparison, split: str, candidates: str, opening: str) -> str:
    figures, k = comparison.figures(), comparison.ks[0]
    best, baseline = best_model(comparison, split, candidates), comparison.baseline

    def ndcg(model: str) -> Interval:
        return figures[split, candidates, model, "ndcg", k]

    own = ndcg(best)
    level = comparison.settings["confidence"]
    spread = f"{level:.0%} interval {number(own.low)} to {number(own.high)}"
    tied = _not_shown_worse(comparison, split, candidates)
    others = [
        name
        for name in comparison.models
        if name not in comparison.controls and name not in (best, baseline)
    ]
    if best == baseline or baseline in tied:
        text = f"{opening}, no model is shown to beat {baseline}"
        if best == baseline:
            return f"{text} (nDCG@{k} {number(own.mean)}, {spread})."
        against = number(ndcg(baseline).mean)
        return f"{text} (nDCG@{k} {against}; the best, {best}, {number(own.mean)}, {spread})."
    hits = figures[split, candidates, best, "precision", k].mean
    base_hits = figures[split, candidates, baseline, "precision", k].mean
    if base_hits == 0:
        found = f"{best} finds {hits * k:.2g} hits in a list of {k}, where {baseline} finds none"
    elif hits / base_hits >= 1.05:
        found = f"{best} finds {_ratio(hits / base_hits)} as many hits as {baseline}"
    else:
        found = f"{best} ranks better than {baseline}"
    against = number(ndcg(baseline).mean)
    text = f"{opening}, {found} (nDCG@{k} {number(own.mean)}, {spread}, against {against})"
    tied = [name for name in tied if name in others]
    if tied:
        return f"{text}; no difference from {listing(tied)} is shown."
    return f"{text}; it is shown to be better than every other model." if others else f"{text}."


def _personal_headline(comparison: Comparison, split: str, opening: str) -> str:
    """The headline where there are too few cold items for lists."""
    best = best_model(comparison, split, COLD)
    tied = _not_shown_worse(comparison, split, COLD)
    text = f"{opening}, {_right_of_the_time(comparison, split, best)}"
    if tied:
        return f"{text}; no difference from {listing(tied)} is shown."
    return f"{text}; it is shown to be better than every other model."


def _right_of_the_time(comparison: Comparison, split: str, best: str) -> str:
    auc = comparison.figures()[split, COLD, best, ITEM_AUC, None]
    spread = f"{comparison.settings['confidence']:.0%} interval {auc.low:.0%} to {auc.high:.0%}"
    verdict = "chance is 50%" if auc.low > 0.5 else "not shown to be better than chance, 50%"
    return (
        f"{best} is right {auc.mean:.0%} of the time when asked which of two people plays one"
        f" (item-wise AUC, {spread}; {verdict})"
    )


def _controls(comparison: Comparison, split: str) -> str:
    """How personal the lists of the best cold model are, and which controls it beats."""
    best = best_model(comparison, split, COLD)
    measure = main_measure(comparison, split, COLD)
    measured = (split, COLD, best, ITEM_AUC, None) in comparison.figures()
    clauses = []
    if measured and measure[0] != ITEM_AUC:
        clauses.append(f"There, {_right_of_the_time(comparison, split, best)}")
    beaten, by_auc, unbeaten = [], [], []
    for control, meaning in comparison.controls.items():
        gap = _gap(comparison, split, best, control, *measure)
        if gap.low > 0:
            beaten.append(control)
        elif measured and _gap(comparison, split, best, control, ITEM_AUC, None).low > 0:
            by_auc.append(control)
        elif gap.high < 0:
            unbeaten.append(f"{_called(control)} does better" + (meaning and f", so {meaning}"))
        else:
            unbeaten.append(
                f"{_called(control)} is not shown to be beaten by {_called(best)}"
                + (meaning and f", so it may be that {meaning}")
            )
    verdicts = []
    if beaten:
        verdicts.append(f"{listing(beaten)} {_are(beaten)} shown to be worse than {best}")
    if by_auc:
        verdicts.append(f"{listing(by_auc)} {_are(by_auc)} by item-wise AUC, and not by nDCG")
    verdicts += unbeaten
    clauses.append(f"of the controls, {'; '.join(verdicts)}" if verdicts else "no control was run")
    text = "; ".join(clauses) + "."
    return text[0].upper() + text[1:]


def _called(name: str) -> str:
    return f"“{name}”" if "," in name else name


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _too_few_for_lists(comparison: Comparison, facts: Mapping[str, Any]) -> bool:
    return facts["kind"] == "cold" and comparison.ks[0] * 2 >= facts["cold_items"]


def _gap(
    comparison: Comparison, split: str, best: str, control: str, metric: str, k: int | None
) -> Interval:
    """Paired difference between two models among the cold items."""
    return comparison.difference(best, control, split=split, candidates=COLD, metric=metric, k=k)


def _not_shown_worse(comparison: Comparison, split: str, candidates: str) -> list[str]:
    """Models that are no controls and not shown to be worse than the best, without it."""
    gaps = comparison.gaps("best")
    measure = main_measure(comparison, split, candidates)
    return [
        name
        for name in comparison.models
        if name not in comparison.controls
        and (gap := gaps.get((split, candidates, name, *measure))) is not None
        and not gap[1].shown
    ]


def _ratio(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 9.95 else f"{ratio:.0f} times"


def _silent_models(comparison: Comparison, split: Mapping[str, Any]) -> list[str]:
    """Models that leave test users without a list, which count 0 there."""
    found = []
    runs = comparison.runs[comparison.runs["split"] == split["name"]]
    n_users = split["test_users"]
    mute = [row.model for row in runs.itertuples() if row.recommends_cold is False]
    if mute:
        found.append(
            f"Split “{split['name']}”: {listing(mute)} cannot recommend what nobody has played;"
            f" {'it counts' if len(mute) == 1 else 'they count'} 0 there, and 0.5 in item-wise AUC."
        )
    for candidates, where in ((CATALOGUE, "whole catalogue"), (COLD, "cold items")):
        column = f"users_without_list_{candidates}"
        if column not in runs:
            continue
        for model, silent in zip(runs["model"], runs[column], strict=True):
            if silent > 0 and not (candidates == COLD and model in mute):
                found.append(
                    f"Split “{split['name']}”: {model} gave {int(silent)} of {n_users} users no"
                    f" list ({where}); they count 0."
                )
    return found
