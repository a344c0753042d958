"""RecTools' `recommend` for one user at a time, in a Python of its own: see `latency`.

It is given plays and the rows of users, fits RecTools' wrapper of implicit's ALS for one iteration
(how good its factors are does not change how long a list takes), and prints milliseconds as JSON.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp


def main() -> None:
    """Ask for one list after another."""
    from implicit.als import AlternatingLeastSquares
    from rectools.dataset import Dataset
    from rectools.models import ImplicitALSWrapperModel

    place, k, factors = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    plays = sp.load_npz(place / "plays.npz").tocoo()
    users = np.load(place / "users.npy")
    table = pd.DataFrame({"user_id": plays.row, "item_id": plays.col, "weight": plays.data})
    table["datetime"] = pd.Timestamp("2020-01-01")
    dataset = Dataset.construct(table)
    als = AlternatingLeastSquares(factors=factors, iterations=1, num_threads=1)
    model = ImplicitALSWrapperModel(als)
    model.fit(dataset)
    times = []
    for row in [users[0], *users]:
        started = time.perf_counter()
        model.recommend([row], dataset, k, filter_viewed=True)
        times.append(1e3 * (time.perf_counter() - started))
    print(json.dumps(times[1:]))


if __name__ == "__main__":
    main()
