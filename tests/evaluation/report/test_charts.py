import numpy as np
import pandas as pd

from evaluation.report.charts import song_map_chart


def test_a_large_map_is_a_sample_that_says_so():
    n = 4500
    songs = pd.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(n)], "title": "t", "artist": "a",
            "genre": [f"genre {row % 20}" for row in range(n)],
            "x": np.arange(n), "y": 0.0, "cold": np.arange(n) % 100 == 0,
        }
    )  # fmt: skip
    chart = song_map_chart(songs, "songs", 0)
    traces = chart.figure["data"]
    points = [x for trace in traces[:-1] for x in trace["x"]]
    assert len(points) == len(set(points)) == 4000
    assert set(np.arange(0, n, 100)) <= set(points)
    assert "4,000 of 4,500 are drawn: all of these, others at random." in chart.note
    none_cold = song_map_chart(songs.assign(cold=False), "songs", 0)
    assert "4,000 of 4,500 are drawn, at random." in none_cold.note
    names = [trace["name"] for trace in traces]
    assert len({name for name in names if name.startswith("genre ")}) == 16
    assert any(name.startswith("4 other genres") for name in names)
