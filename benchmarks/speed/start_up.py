"""How long `import recsys` and the first use of its names take, in fresh interpreters.

python -m benchmarks.speed.start_up
"""

import statistics
import subprocess
import sys
import time

STATEMENTS = ("pass", "import recsys", "from recsys import Recommender, RecommenderConfig")
RUNS = 7


def main() -> None:
    """Print the median of several runs of each statement, and what it adds to a bare start."""
    medians = []
    for statement in STATEMENTS:
        seconds = []
        for _ in range(RUNS):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            seconds.append(time.perf_counter() - started)
        medians.append(statistics.median(seconds))
        print(f"{medians[-1]:6.3f} s  (+{medians[-1] - medians[0]:.3f})  {statement}")


if __name__ == "__main__":
    main()
