"""What a reader must know before trusting the figures."""

from collections.abc import Mapping
from typing import Any

from evaluation.comparison.candidate_sets import CATALOGUE, COLD
from evaluation.comparison.comparison import Comparison
from evaluation.conclusions.evidence import ranked_among_themselves, too_few_for_lists
from evaluation.conclusions.wording import listing

_FEW_ITEMS = 50
_SAMPLED = "sampled "
"""How the names of sampled candidates begin."""


def cautions(comparison: Comparison, noun: str = "songs") -> list[str]:
    """What weakens the figures, a sentence each; empty if there is nothing."""
    found = []
    shortest = comparison.ks[0]
    for split in comparison.splits:
        n_cold = split["cold_items"]
        if too_few_for_lists(comparison, split):
            thin = split["kind"] == "semi-cold"
            instead = "Ranking the whole catalogue" if thin else "The item-wise AUC"
            found.append(
                f"Split “{split['name']}” has {ranked_among_themselves(split)} {split['kind']}"
                f" {noun}{' in a fold' if split['folds'] else ''}: a list of {shortest} holds"
                f" most of them, whoever makes it. {instead} takes the place of the lists."
            )
        n_tested = {"cold": n_cold, "semi-cold": split["thin_items"]}.get(split["kind"])
        if n_tested is not None and n_tested < _FEW_ITEMS:
            found.append(
                f"The intervals of split “{split['name']}” are over users; that only {n_tested}"
                f" {noun} were held out, and which, adds an uncertainty they do not show."
            )
        if split["auc_items_left_out"]:
            found.append(
                f"Split “{split['name']}”: {split['auc_items_left_out']} of {n_cold} cold {noun}"
                " have no item-wise AUC, as none or all of the users ranked are their listeners."
            )
        found.extend(_silent_models(comparison, split))
    sampled = sorted({str(key[1]) for key in comparison.figures() if key[1].startswith(_SAMPLED)})
    found.extend(
        f"“{name}” ranks what is relevant among a few {noun} drawn at random: figures are far"
        f" higher than among all {noun}, and the order of models can be another (Krichene and"
        " Rendle, 2020). They compare with published figures made the same way, and with no others."
        for name in sampled
    )
    return found


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
