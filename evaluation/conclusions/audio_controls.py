"""Sentences on the controls: whether the audio helps on new items, and what else is not beaten."""

from typing import Final

from evaluation.comparison.bootstrap import Difference
from evaluation.comparison.comparison import Comparison
from evaluation.comparison.tables import FigureKey
from evaluation.comparison.trial import COLD_ITEMS
from evaluation.conclusions.evidence import (
    CHANCE,
    LEAST_NEW_ITEMS,
    auc_above_chance,
    beats_random_order,
    best_model,
    knows_who_plays_what,
    main_measure,
    n_new_items_tested,
    paired_gaps,
)
from evaluation.conclusions.wording import as_sentence, is_or_are, join_names, quote_name
from evaluation.metrics.ranking import ITEM_AUC
from evaluation.models.controls import (
    POPULARITY_ORACLE,
    SAME_FOR_EVERYBODY,
    SHUFFLED_AUDIO,
    control_name,
    parse_control_name,
)

_NEGLIGIBLE: Final = 0.05
"""A gain in item-wise AUC that counts as none. "Adds nothing" is said if the interval excludes all
larger gains; else the gain is "not shown"."""


def controls_sentence(comparison: Comparison, split: str) -> str:
    """Say whether the audio adds anything to a model on new items, then what other controls show.

    The model is the one that a control with shuffled audio was made from, or else the best model.

    Args:
        comparison: the comparison.
        split: name of a cold or mixed split.

    Returns:
        One sentence. Of fewer new items than ``LEAST_NEW_ITEMS`` it says that nothing can be said.
    """
    if n_new_items_tested(comparison, split) < LEAST_NEW_ITEMS:
        return as_sentence(too_few_clause(comparison, split))
    subject = audio_subject(comparison)
    measured = bool(auc_above_chance(comparison, split))
    clauses, said = [], set()
    if subject is not None and measured:
        clauses.append(_audio(comparison, split, subject))
        # One ranking for everybody has an item-wise AUC of 0.5 by definition.
        said |= {control_name(subject, SHUFFLED_AUDIO), control_name(subject, SAME_FOR_EVERYBODY)}
    elif measured and main_measure(comparison, split, COLD_ITEMS)[0] != ITEM_AUC:
        clauses.append(f"there, {auc_clause(comparison, split)}")
    model = subject or best_model(comparison, split, COLD_ITEMS)
    others = [name for name in comparison.controls if name not in said]
    if others:
        which = "of the other controls, " if said else "of the controls, "
        clauses.append(which + _against(comparison, split, model, others))
    elif not said:
        clauses.append("no control was run")
    return as_sentence("; ".join(clauses))


def audio_subject(comparison: Comparison) -> str | None:
    """Return the model that a control with shuffled audio was made from, None if there is none."""
    for control in comparison.controls:
        made_of = parse_control_name(control)
        if made_of is not None and made_of[1] == SHUFFLED_AUDIO and made_of[0] in comparison.models:
            return made_of[0]
    return None


def too_few_clause(comparison: Comparison, split: str) -> str:
    """State that the new items are too few for anything to be said of who plays what."""
    n = n_new_items_tested(comparison, split)
    return (
        f"nothing can be said of who plays what: only {n} could be tested, and at least"
        f" {LEAST_NEW_ITEMS} are needed"
    )


def auc_clause(comparison: Comparison, split: str, model: str = "") -> str:
    """State the item-wise AUC of a model, by default the best, if it is shown to beat chance."""
    model = model or best_model(comparison, split, COLD_ITEMS)
    if n_new_items_tested(comparison, split) < LEAST_NEW_ITEMS:
        return too_few_clause(comparison, split)
    if not knows_who_plays_what(comparison, split, model):
        figure = _auc_figure(comparison, split, model)
        return f"{model} is not shown to know who plays what ({figure}; chance is 0.50)"
    return f"{model} is right {_auc_in_words(comparison, split, model)}; chance is 50%)"


def _auc_in_words(comparison: Comparison, split: str, model: str) -> str:
    """State the item-wise AUC with its interval, up to an open bracket."""
    auc = comparison.figures()[split, COLD_ITEMS, model, ITEM_AUC, None]
    level = comparison.settings["confidence"]
    return (
        f"{auc.mean:.0%} of the time when asked which of two people plays one"
        f" (item-wise AUC, {level:.0%} interval {auc.low:.0%} to {auc.high:.0%}"
    )


def _auc_figure(comparison: Comparison, split: str, model: str) -> str:
    """The item-wise AUC as a mere figure, where it is no claim that the model is right."""
    auc = comparison.figures()[split, COLD_ITEMS, model, ITEM_AUC, None]
    level = comparison.settings["confidence"]
    return f"item-wise AUC {auc.mean:.2f}, {level:.0%} interval {auc.low:.2f} to {auc.high:.2f}"


def _audio(comparison: Comparison, split: str, model: str) -> str:
    """State whether a model predicts who plays a new item, and does so from the audio.

    All must be shown: that it beats chance, that it beats a random order, where that was run, and
    that it beats itself with shuffled audio. As all tests have to succeed, their p-values need no
    correction.
    """
    own, without = (_auc(split, name) for name in (model, control_name(model, SHUFFLED_AUDIO)))
    alone, from_audio = paired_gaps(comparison, [(own, None), (own, without)], corrected=False)
    auc = f"{model} is right {_auc_in_words(comparison, split, model)}"
    shuffled = f"{comparison.figures()[without].mean:.0%} with shuffled audio, chance is 50%)"
    knows = _gains(alone) and beats_random_order(comparison, split, model)
    if knows and _gains(from_audio):
        return f"there, the audio tells who plays what: {auc}; {shuffled}"
    if knows:
        if from_audio.high < _NEGLIGIBLE:
            return (
                f"there, {auc}; {shuffled}, but with recordings dealt out at random it does as"
                " well: the audio adds nothing here"
            )
        return f"there, {auc}; {shuffled}, but it is not shown that the audio has a part in it"
    auc = _auc_figure(comparison, split, model)
    shuffled = f"{comparison.figures()[without].mean:.2f} with shuffled audio, chance is 0.50"
    if min(alone.high, from_audio.high) < _NEGLIGIBLE:
        return f"the audio adds nothing beyond popularity here ({auc}; {shuffled})"
    most = CHANCE + min(alone.high, from_audio.high)
    return (
        "it is not shown that the audio adds anything beyond popularity here, and with so few items"
        f" up to {most:.2f} cannot be ruled out ({auc}; {shuffled})"
    )


def _against(comparison: Comparison, split: str, model: str, controls: list[str]) -> str:
    """State which controls the model is shown to beat, and by which measure."""
    pairs = [_figures_to_compare(comparison, split, model, control) for control in controls]
    beaten: dict[str, list[str]] = {}
    unbeaten = []
    for control, pair, gap in zip(controls, pairs, paired_gaps(comparison, pairs), strict=True):
        meaning = comparison.controls[control]
        if _gains(gap):
            beaten.setdefault("nDCG" if pair[0][3] != ITEM_AUC else "item-wise AUC", []).append(
                control
            )
        elif gap.shown:
            unbeaten.append(f"{quote_name(control)} does better" + (meaning and f", so {meaning}"))
        else:
            unbeaten.append(
                f"{quote_name(control)} is not shown to be beaten by {quote_name(model)}"
                + (meaning and f", so it may be that {meaning}")
            )
    verdicts = [
        f"{join_names(names)} {is_or_are(names)} shown to be worse than {quote_name(model)}"
        f" by {measure}"
        for measure, names in beaten.items()
    ]
    return "; ".join(verdicts + unbeaten)


def _figures_to_compare(
    comparison: Comparison, split: str, model: str, control: str
) -> tuple[FigureKey, FigureKey]:
    """Return the figures to compare: item-wise AUC, which one lucky ranking does not inflate.

    The popularity oracle is compared by its lists: its item-wise AUC is at chance by definition.
    """
    metric, k = main_measure(comparison, split, COLD_ITEMS)
    if control != POPULARITY_ORACLE and _auc(split, model) in comparison.values:
        metric, k = ITEM_AUC, None
    return (split, COLD_ITEMS, model, metric, k), (split, COLD_ITEMS, control, metric, k)


def _auc(split: str, model: str) -> FigureKey:
    return split, COLD_ITEMS, model, ITEM_AUC, None


def _gains(gap: Difference) -> bool:
    return gap.shown and gap.mean > 0
