"""Which differences are shown, and what the controls make of the best model, as rows of text."""

from typing import Any

from evaluation.metrics import ITEM_AUC
from evaluation.report_tables import Column, Tables, cell
from evaluation.resampling import Difference
from evaluation.trial import COLD

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
    """The best model against every control, with what follows where it is not shown to win."""
    found = []
    columns = _deciding(tables)
    if tables.cold is not None:
        auc = Column(tables.cold, COLD, ITEM_AUC, None)
        if auc not in columns:
            columns[1:1] = tables.measured([auc])
    for column in columns:
        best = _best(tables, column)
        rows = []
        for control, meaning in tables.comparison.controls.items():
            gap = tables.from_best.get(column.key(control))
            if gap is not None:
                rows.append(
                    {
                        "control": control,
                        "own": cell(tables.figures[column.key(control)]),
                        "gap": _gap_cell(gap, turned=True),
                        **_verdict(gap[1], meaning),
                    }
                )
        if rows:
            own = cell(tables.figures[column.key(best)])
            found.append({"title": _title(tables, column), "best": best, "own": own, "rows": rows})
    return found


def _deciding(tables: Tables) -> list[Column]:
    """The figure that decides in every split: among cold items, else in the whole catalogue."""
    columns = []
    for split in dict.fromkeys(split for split, _ in tables.places()):
        among = [candidates for name, candidates in tables.places() if name == split]
        wanted = COLD if split == tables.cold and COLD in among else tables.widest(split)
        columns.append(tables.main_column(split, wanted))
    # New items first, as in the main table.
    return sorted(columns, key=lambda column: column.split != tables.cold)


def _title(tables: Tables, column: Column) -> str:
    return f"{tables.group_label(column.split, column.candidates)}: {column.label}"


def _best(tables: Tables, column: Column) -> str:
    """The model that is no control with the highest mean."""
    contenders = [m for m in tables.comparison.models if m not in tables.comparison.controls]
    return max(contenders, key=lambda model: tables.figures[column.key(model)].mean)


def _verdict(gap: Difference, meaning: str) -> dict[str, str]:
    """What one control says: a word for the style, and a sentence."""
    if gap.shown and gap.mean < 0:
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
    if turned:
        mean, low, high = -mean, -high, -low
    verdict = "better" if mean > 0 else "worse"
    return {
        "mean": _plus_minus(mean),
        "spread": f"{_plus_minus(low)} to {_plus_minus(high)}",
        "verdict": verdict if gap[1].shown else NOT_SHOWN,
        "p": probability(gap[1].p_corrected),
    }


def probability(p: float) -> str:
    """A p-value as text."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _plus_minus(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
