"""The structure that docs/architecture.md describes: who may import whom, and one meaning a name.

Everything is read from the code with `ast`; nothing of the library is imported.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("recsys", "evaluation", "embedding", "datasets")

LAYERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "recsys": (
        ("recsys.cli",),
        ("recsys.commands",),
        ("recsys.experiments", "recsys.songmap", "recsys.service", "recsys.cluster"),
        ("recsys", "recsys.recommender"),
        ("recsys.training", "recsys.ranking", "recsys.onboarding", "recsys.playlists",
         "recsys.tagging"),
        ("recsys.tracking",),
        ("recsys.model",),
        ("recsys.audio", "recsys.sources"),
        ("recsys.content", "recsys.fusion", "recsys.new_songs", "recsys.database", "recsys.index"),
        ("recsys.data",),
        ("recsys.config",),
    ),
    "evaluation": (
        ("evaluation.genre_report",),
        ("evaluation.report",),
        ("evaluation.conclusions",),
        ("evaluation.comparison", "evaluation.genre", "evaluation.neighbours"),
        ("evaluation.models", "evaluation.metrics"),
        ("evaluation.splitting",),
        ("evaluation", "evaluation.model", "evaluation.arguments", "evaluation.serialization"),
    ),
    "embedding": (
        ("embedding.composition",),
        ("embedding", "embedding.encoders", "embedding.projection"),
        ("embedding.network",),
        ("embedding.hyperimage",),
        ("embedding.transforms",),
        ("embedding.audio",),
        ("embedding.decoding",),
        ("embedding.parallel",),
    ),
    "datasets": (
        ("datasets.public.loaders", "datasets.demo"),
        ("datasets.public",),
        ("datasets.embedding_files",),
        ("datasets.folder", "datasets.tagged_files", "datasets.image_arrays"),
        ("datasets.music",),
        ("datasets.tags",),
        ("datasets.tables",),
        ("datasets.chunk_tags",),
        ("datasets.columns", "datasets.errors", "datasets.settings", "datasets.system",
         "datasets.texts", "datasets.progress", "datasets.arrays", "datasets.arguments",
         "datasets.versions", "datasets.linear_algebra"),
    ),
}  # fmt: skip
"""Rooms (folders, and modules that stand alone) from the top down: a room imports from its own
layer or from those below."""

PACKAGE_IMPORTS: dict[str, frozenset[str]] = {
    "recsys": frozenset({"embedding", "datasets"}),
    "evaluation": frozenset({"embedding", "datasets"}),
    "embedding": frozenset({"datasets"}),
    "datasets": frozenset(),
}
"""Which other packages a package may import."""

EVALUATES = frozenset({"recsys.cli", "recsys.commands", "recsys.experiments", "recsys.tracking"})
"""Rooms of `recsys` that may also import `evaluation`."""

PROGRAMS = frozenset({"recsys.tracking.model_script", "recsys.batches", "recsys.tracking_model"})
"""Scripts that MLflow runs, and what such scripts of older models import; nothing imports them."""

SEVERAL_MEANINGS: dict[str, str] = {
    "logger": "the logger of a module",
    "T": "a type variable",
    "metadata": "the tables of one SQL database",
    "app": "commands of Typer",
    "ARCHIVE": "what each loader of a public data set calls the file that it reads",
    "PLAYS_FILE": "what each loader calls the file of plays in it",
}
"""Public names that may be defined in several modules, and why."""


@cache
def modules() -> dict[str, Path]:
    """All modules of the four packages by their dotted names."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def is_package(module: str) -> bool:
    return module in modules() and modules()[module].name == "__init__.py"


@cache
def imports(module: str) -> dict[str, int]:
    """The modules of ours that a module imports, with the line; imports inside functions too."""
    found: dict[str, int] = {}
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            targets = [
                f"{node.module}.{alias.name}"
                if f"{node.module}.{alias.name}" in modules()
                else node.module
                for alias in node.names
            ]
        else:
            continue
        for target in targets:
            if target.split(".")[0] in PACKAGES:
                found.setdefault(target, node.lineno)
    return found


def rooms() -> dict[str, tuple[str, int]]:
    """Each room's package and layer, 0 the lowest."""
    return {
        room: (package, level)
        for package, layers in LAYERS.items()
        for level, layer in enumerate(reversed(layers))
        for room in layer
    }


def room(module: str) -> str:
    """The room that a module stands in: the longest that its name begins with.

    The root of a package is a room only for its own `__init__`.
    """
    parts = module.split(".")
    names = [".".join(parts[:n]) for n in range(len(parts), 1, -1)]
    known = [name for name in names if name in rooms()]
    return known[0] if known else parts[0] if len(parts) == 1 else module


def lines() -> Iterator[tuple[str, str, str]]:
    """(module, imported module, "file:line") of every import between modules of ours."""
    for module in modules():
        if module not in PROGRAMS:
            for target, line in imports(module).items():
                yield module, target, f"{modules()[module].relative_to(ROOT)}:{line}"


def test_every_module_stands_in_a_room() -> None:
    homeless = [
        f"{modules()[module].relative_to(ROOT)} belongs to no folder of LAYERS: put it into the "
        "folder of its concept (docs/architecture.md), or add the folder there and here"
        for module in modules()
        if module not in PROGRAMS and room(module) not in rooms()
    ]
    assert not homeless, "\n".join(homeless)


def test_packages_import_only_what_is_below_them() -> None:
    wrong = []
    for module, target, place in lines():
        own, other = module.split(".")[0], target.split(".")[0]
        allowed = PACKAGE_IMPORTS[own] | {own}
        if room(module) in EVALUATES:
            allowed |= {"evaluation"}
        if other not in allowed:
            wrong.append(
                f"{place}: {room(module)} must not import {other}; what both need belongs into "
                f"{' or '.join(sorted(PACKAGE_IMPORTS[own])) or 'datasets'}"
            )
    assert not wrong, "\n".join(wrong)


def test_folders_import_downwards() -> None:
    wrong = []
    for module, target, place in lines():
        upper, lower = room(module), room(target)
        if upper == lower or upper not in rooms() or lower not in rooms():
            continue
        (own, level), (other, below) = rooms()[upper], rooms()[lower]
        if own == other and below > level:
            wrong.append(
                f"{place}: {upper} lies below {lower} and must not import it; move what is needed "
                f"of {target} down to {upper} or below, or pass it in as an argument"
            )
    assert not wrong, "\n".join(wrong)


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected parts with more than one member (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(part) > 1:
                found.append(sorted(part))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def test_no_circle_between_modules() -> None:
    edges: dict[str, set[str]] = defaultdict(set)
    for module, target, _ in lines():
        if target in modules() and not is_package(target):
            edges[module].add(target)
    assert not circles(edges), "these import each other: " + "; ".join(
        " <-> ".join(part) for part in circles(edges)
    )


def test_no_circle_between_folders() -> None:
    edges: dict[str, set[str]] = defaultdict(set)
    for module, target, _ in lines():
        if room(module) != room(target) and not is_package(target):
            edges[room(module)].add(room(target))
    assert not circles(edges), "these folders import each other: " + "; ".join(
        " <-> ".join(part) for part in circles(edges)
    )


def test_no_circle_between_the_folders_of_a_room() -> None:
    """A folder is one there, and so is a module that stands beside folders."""
    holding = {name.rpartition(".")[0] for name in modules() if is_package(name)}
    # Heads are a part of the network, and are trained on what the network makes.
    both_ways = "embedding.network.sequence"

    def part(module: str) -> str:
        folder = module.rpartition(".")[0]
        return folder if is_package(folder) and folder not in holding else module

    edges: dict[str, set[str]] = defaultdict(set)
    for module, target, _ in lines():
        parts = part(module), part(target)
        if both_ways not in parts and parts[0] != parts[1] and not is_package(target):
            edges[parts[0]].add(parts[1])
    assert not circles(edges), "these import each other: " + "; ".join(
        " <-> ".join(one) for one in circles(edges)
    )


def test_modules_import_from_modules() -> None:
    """Not through the `__init__` of a folder, whose names are for users: so no circle can form."""
    roots = {*PACKAGES, "embedding.transforms"}
    wrong = [
        f"{place}: import from the module of {target} that defines it"
        for module, target, place in lines()
        if is_package(target) and target not in roots
    ]
    assert not wrong, "\n".join(wrong)


PLAIN_LOCKS = {
    "threading": {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"},
    "multiprocessing": {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"},
    "fcntl": {"flock", "lockf"},
}
"""Locks without an order, a time limit and a holder."""


def test_locks_know_their_order_their_limit_and_their_holder() -> None:
    """A lock is one of `datasets.system.locks`: no other waits for ever, or against the order."""
    plain = []
    for module in modules():
        for node in ast.walk(tree(module)):
            found: set[str] = set()
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found = {node.attr} & PLAIN_LOCKS.get(node.value.id, set())
            elif isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
                found = names & PLAIN_LOCKS.get(node.module or "", set())
            plain += [f"{module}, line {node.lineno}: {name}" for name in found]  # type: ignore[attr-defined]
    # Temporary files are locked without waiting, a fork waits for seconds at most, and a number of
    # threads is set without waiting for anything: so nobody can wait for ever.
    allowed = tuple(
        f"datasets.system.{name}," for name in ("locks", "temporary", "forking", "blas_threads")
    )
    assert [one for one in plain if not one.startswith(allowed)] == []
    assert plain  # this test sees the locks that there are


def public_definitions() -> dict[str, list[str]]:
    found = defaultdict(list)
    for module in modules():
        # A command is named after what it does, as the function that does it.
        if module in PROGRAMS or room(module) == "recsys.commands":
            continue
        for node in tree(module).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names = [node.name]
            elif isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            else:
                names = []
            for name in names:
                if not name.startswith("_"):
                    found[name].append(module)
    return found


def test_a_public_name_has_one_meaning() -> None:
    doubled = [
        f"{name} is defined in {' and '.join(places)}: give one of them another name, make it "
        "private, or move what they share into one place"
        for name, places in sorted(public_definitions().items())
        if len(places) > 1 and name not in SEVERAL_MEANINGS
    ]
    assert not doubled, "\n".join(doubled)


def declared(folder: str) -> set[str]:
    """The names that the `__init__` of a folder declares, in its stub or itself."""
    path = modules()[folder]
    stub = path.with_suffix(".pyi")
    source = ast.parse((stub if stub.is_file() else path).read_text(encoding="utf-8"))
    return {
        alias.asname or alias.name
        for node in source.body
        if isinstance(node, ast.ImportFrom)
        and (node.level or (node.module or "").startswith(folder))
        for alias in node.names
    }


@pytest.mark.parametrize("folder", [name for name in modules() if is_package(name)])
def test_folders_say_what_they_are_and_declare_their_names(folder: str) -> None:
    path = modules()[folder].relative_to(ROOT)
    text = ast.get_docstring(tree(folder))
    assert text, f"{path}: say in a docstring what this folder is, with a line for each module"
    is_program = room(folder) == "recsys.commands" or folder == "datasets.public.loaders"
    assert is_program or declared(folder), f"{path} declares no public name"
    own = {name.rpartition(".")[2] for name in modules() if name.rpartition(".")[0] == folder}
    assert not declared(folder) & own, (
        f"{path}: {declared(folder) & own} is a module of this folder as well: whichever is "
        "imported first would hide the other"
    )


@pytest.mark.parametrize("module", modules())
def test_modules_say_what_they_hold(module: str) -> None:
    path = modules()[module].relative_to(ROOT)
    text = ast.get_docstring(tree(module))
    assert text, f"{path} has no docstring"
    first = text.splitlines()[0]
    assert len(first) <= 100, f"{path}: the first line of the docstring is too long: {first}"
    assert first.endswith("."), f"{path}: the docstring does not begin with a sentence: {first}"


@pytest.mark.parametrize("folder", [name for name in modules() if is_package(name)])
def test_public_names_have_an_example(folder: str) -> None:
    """`make test` runs them: `pytest --doctest-modules recsys evaluation embedding datasets`."""
    stub = modules()[folder].with_suffix(".pyi")
    without = []
    for node in ast.parse(stub.read_text(encoding="utf-8") if stub.is_file() else "").body:
        if not isinstance(node, ast.ImportFrom):
            continue
        module = f"{folder}.{node.module}" if node.level else str(node.module)
        definitions = {one.name: one for one in tree(module).body if hasattr(one, "name")}
        without += [
            f"{module}.{alias.name}"
            for alias in node.names
            if alias.name in definitions
            and ">>>" not in "".join(docstrings(definitions[alias.name]))
        ]
    assert not without, f"without an example in the docstring: {', '.join(without)}"


def docstrings(definition: ast.AST) -> Iterator[str]:
    """The docstrings of a function or class and of what is defined in it."""
    for node in ast.walk(definition):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield ast.get_docstring(node) or ""


def test_the_map_names_what_exists() -> None:
    """Paths, modules and classes in the tables of docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = " ".join(line for line in text.splitlines() if line.startswith("|"))
    named = set(re.findall(r"`((?:recsys|evaluation|embedding|datasets|tests)[\w./]*)`", table))
    assert len(named) > 40
    missing = {name for name in named if not (ROOT / name).exists() and name not in modules()}
    assert not missing, f"docs/architecture.md names what is not there: {missing}"


def test_commands_print_through_the_functions_that_escape_control_characters() -> None:
    for path in (ROOT / "recsys" / "commands").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        direct = re.search(r"typer\.echo|(?<![\w.])print\(", text)
        assert path.name == "printing.py" or not direct, path
