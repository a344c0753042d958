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
    }
    relevant = {user: dict.fromkeys(items, 1) for user, items in task["relevant"].items()}
    users = sorted(relevant)
    results = {}
    for k in task["ks"]:
        names = [
            f"{name}@{k}" for name in ("precision", "recall", "hit_rate", "ndcg", "map", "mrr")
        ]
        scores = ranx.evaluate(
            ranx.Qrels(relevant), ranx.Run(run), names, return_mean=False, make_comparable=True
        )
        order = sorted(relevant)
        for name in names:
            values = np.asarray(scores[name], dtype=float)
            results[f"ranx:{name}"] = dict(zip(order, values.tolist(), strict=True))
    measures = {
        f"{name}.{','.join(map(str, task['ks']))}"
        for name in ("P", "recall", "success", "ndcg_cut", "map_cut")
    } | {"recip_rank"}
    answer = pytrec_eval.RelevanceEvaluator(relevant, measures).evaluate(run)
    for measure in next(iter(answer.values())):
        results[f"trec:{measure}"] = {user: answer[user][measure] for user in users}
    json.dump(results, sys.stdout)


main()
