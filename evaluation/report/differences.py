"""Which differences are shown, and what the controls make of the best model, as rows of text."""

from math import isnan
from typing import Any

from evaluation.comparison.resampling import Difference
from evaluation.conclusions.evidence import paired_gaps
from evaluation.conclusions.wording import p_value
from evaluation.metrics.ranking import ITEM_AUC
from evaluation.models.controls import subject_of
from evaluation.report.tables import Column, Tables, cell

NOT_SHOWN = "no difference shown"


def differences(tables: Tables) -> list[dict[str, Any]]:
    """Paired differences from the baseline and from the best, a table for each place measured."""
    found = []
    for column in _deciding(tables):
        rows = [
            {
                "model": model,
                "control": model in tables.comparison.controls,
                "baseline": _gap_cell(tables.from_baseline.get(column.key(model))),
                "best": _gap_cell(tables.from_best.get(column.key(model))),
            }
            for model in tables.models()
        ]
        found.append(
            {
                "title": _title(tables, column),
                "baseline": tables.comparison.baseline,
                "best": _best(tables, column),
                "rows": rows,
            }
        )
    return found


def controls(tables: Tables) -> list[dict[str, Any]]:
    """Every control against the model it was made of, or else the best, and what follows.

    p-values are corrected for the number of controls in one table.
    """
    return [
        {"title": _title(tables, column), "rows": _controlled(tables, column)}
        for column in _deciding(tables)
        if tables.comparison.controls
    ]


def correction(tables: Tables) -> str:
    """For how many comparisons the p-values of a table of controls are corrected, in a sentence."""
    n = len(tables.comparison.controls)
    comparisons = "1 comparison" if n == 1 else f"{n} comparisons"
    return (
        f"p is corrected for the {comparisons} of a table (Holm), and among the differences for all"
        " models held against the same one: the same pair may have another p there."
    )


def _controlled(tables: Tables, column: Column) -> list[dict[str, Any]]:
    comparison = tables.comparison
    exposed = []
    for control in comparison.controls:
        made_of = subject_of(control)
        own = made_of is not None and made_of[0] in comparison.models
        exposed.append(made_of[0] if made_of is not None and own else _best(tables, column))
    pairs = [
        (column.key(model), column.key(control))
        for model, control in zip(exposed, comparison.controls, strict=True)
    ]
    gaps = paired_gaps(comparison, pairs)
    return [
        {
            "control": control,
            "own": cell(tables.figures[column.key(control)]),
            "model": model,
            "of_model": cell(tables.figures[column.key(model)]),
            "gap": _gap_cell((control, gap)),
            **_verdict(gap, meaning),
        }
        for (control, meaning), model, gap in zip(
            comparison.controls.items(), exposed, gaps, strict=True
        )
    ]


def _deciding(tables: Tables) -> list[Column]:
    """The figures that decide in every split.

    Among cold items the item-wise AUC is one in any case, as its units are the items.
    """
    columns = []
    for split in dict.fromkeys(split for split, _ in tables.places()):
        wanted = tables.deciding(split)
        columns.append(tables.main_column(split, wanted))
        columns += tables.measured([Column(split, wanted, ITEM_AUC, None)])
    # New items first, as in the main table.
    ordered = sorted(columns, key=lambda column: column.split != tables.cold)
    return list(dict.fromkeys(ordered))


def _title(tables: Tables, column: Column) -> str:
    return f"{tables.group_label(column.split, column.candidates)}: {column.label}"


def _best(tables: Tables, column: Column) -> str:
    """The model that is no control with the highest mean."""
    contenders = [m for m in tables.comparison.models if m not in tables.comparison.controls]
    return max(contenders, key=lambda model: tables.figures[column.key(model)].mean)


def _verdict(gap: Difference, meaning: str) -> dict[str, str]:
    """What one control says: a word for the style, and a sentence."""
    if gap.shown and gap.mean > 0:
        return {"kind": "better", "sentence": "beaten"}
    if gap.shown:
        return {"kind": "worse", "sentence": "does better" + (meaning and f", so {meaning}")}
    beaten = "not shown to be beaten"
    return {"kind": "no", "sentence": f"{beaten}: it may be that {meaning}" if meaning else beaten}


def _gap_cell(gap: tuple[str, Difference] | None, *, turned: bool = False) -> dict[str, str] | None:
    """A difference as text; ``turned`` is that of the other model from this one."""
    if gap is None:
        return None
    mean, low, high = gap[1][:3]
    verdict = "better" if mean > 0 else "worse"
    return {
        "mean": _plus_minus(mean),
        "spread": f"{_plus_minus(low)} to {_plus_minus(high)}",
        "verdict": verdict if gap[1].shown else NOT_SHOWN,
        "p": "" if isnan(gap[1].p_corrected) else p_value(gap[1].p_corrected),
    }


def _plus_minus(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
