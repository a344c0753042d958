"""Metrics by ranx and pytrec_eval, as JSON from standard input to standard output.

Run in a process of its own with NUMBA_DISABLE_JIT=1: ranx compiles each metric for half a minute,
and does the same in a millisecond on lists this small when it does not.
"""

import json
import sys

import numpy as np
import pytrec_eval
import ranx


def main() -> None:
    task = json.load(sys.stdin)
    # Scores that fall with the rank and never tie, as pytrec_eval breaks ties by name.
    run = {
        user: {item: float(1000 - place) for place, item in enumerate(items)}
        for user, items in task["lists"].items()
        if items
    }
    tied = {user: dict.fromkeys(items, 1.0) for user, items in task["lists"].items() if items}
    relevant = {user: dict.fromkeys(items, 1) for user, items in task["relevant"].items()}
    json.dump(
        measured(run, relevant, task["ks"], "") | measured(tied, relevant, task["ks"], "tied "),
        sys.stdout,
    )


def measured(
    run: dict[str, dict[str, float]],
    relevant: dict[str, dict[str, int]],
    ks: list[int],
    prefix: str,
) -> dict[str, dict[str, float]]:
    """{name: {user: value}}; trec_eval leaves out a user without a list."""
    results = {}
    names = ("precision", "recall", "hit_rate", "ndcg", "map", "mrr")
    for name in [f"{name}@{k}" for k in ks for name in names]:
        values = ranx.evaluate(
            ranx.Qrels(relevant), ranx.Run(run), name, return_mean=False, make_comparable=True
        )
        numbers = np.asarray(values, dtype=float).tolist()
        results[f"{prefix}ranx:{name}"] = dict(zip(sorted(relevant), numbers, strict=True))
    cut = ",".join(map(str, ks))
    measures = {f"{name}.{cut}" for name in ("P", "recall", "success", "ndcg_cut", "map_cut")}
    answer = pytrec_eval.RelevanceEvaluator(relevant, measures | {"recip_rank"}).evaluate(run)
    for measure in next(iter(answer.values())):
        results[f"{prefix}trec:{measure}"] = {
            user: values[measure] for user, values in answer.items()
        }
    return results


if __name__ == "__main__":
    main()
