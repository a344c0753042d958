"""Build the wheel, install it beside Hugging Face `datasets`, and import both. Run by `make wheel`.

Both own a top-level folder `datasets`; neither may overwrite a file of the other, and either can
be uninstalled without harm.
"""

import subprocess
import sys
import sysconfig
import tempfile
import venv
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command; show what it said and stop where it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, text=True, capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def installed(site: Path, name: str) -> Distribution:
    """What pip recorded of a package."""
    return next(d for d in distributions(path=[str(site)]) if d.metadata["Name"] == name)


def main() -> None:
    """Exit with a message at the first thing that is wrong."""
    with tempfile.TemporaryDirectory(prefix="coldtune-wheel-") as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, cwd=ROOT)
        (wheel,) = folder.glob("coldtune-*.whl")
        environment = folder / "environment"
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        pip = (python, "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS)
        (site,) = (environment / "lib").glob("python*/site-packages")
        # The package's own dependencies are not what is checked here, and to install them takes
        # minutes: they are those of the environment that runs this, found after what is here.
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        run(*pip, "--no-deps", "--force-reinstall", wheel, cwd=folder)
        run(*pip, "datasets", cwd=folder)

        ours = {str(path) for path in installed(site, "coldtune").files or ()}
        theirs = {str(path) for path in installed(site, "datasets").files or ()}
        if both := ours & theirs:
            sys.exit(f"coldtune and Hugging Face datasets both install {sorted(both)}")
        if "datasets/music.py" not in ours or "datasets/__init__.py" in ours:
            sys.exit("the wheel does not hold datasets/ as a namespace package")

        run(python, "-c", _IMPORT_BOTH, cwd=folder)
        run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "datasets", cwd=folder)
        run(python, "-c", _IMPORT_OURS, cwd=folder)
        run(*pip, "datasets", cwd=folder)
        run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "coldtune", cwd=folder)
        run(python, "-c", "import datasets; datasets.Dataset", cwd=folder)
        print(f"{wheel.name} installs, imports and uninstalls beside Hugging Face datasets")


_IMPORT_OURS = """
import embedding, evaluation, recsys
from recsys import Recommender, RecommenderConfig
from datasets.demo import make_demo
from datasets.music import MusicDataset
from datasets.public import fetch
Recommender(RecommenderConfig(seed=0))
import sys
assert recsys.__file__.startswith(sys.prefix), recsys.__file__
"""
_IMPORT_BOTH = "import datasets; datasets.Dataset.from_dict({'a': [1]})\n" + _IMPORT_OURS

if __name__ == "__main__":
    main()
