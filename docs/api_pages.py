"""MkDocs hook: a page of the API reference for every folder, from the names it declares."""

import ast
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("recsys", "evaluation", "embedding", "datasets")
MODULES = ("datasets.folder", "datasets.music", "datasets.image_arrays", "datasets.tagged_files",
           "datasets.errors", "datasets.settings", "recsys.config")  # fmt: skip
"""Modules that people import from directly: `datasets` has no `__init__` to declare names in."""


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages to the site."""
    sections: dict[str, list[Any]] = {package: [] for package in PACKAGES}
    for name, text in pages().items():
        files.append(File.generated(config, address(name), content=text))
        sections[name.split(".")[0]].append({name: address(name)})
    files.append(File.generated(config, "api/index.md", content=index()))
    for entry in config.nav:
        if "API" in entry:
            entry["API"] = ["api/index.md", *({name: own} for name, own in sections.items())]
    return files


def address(name: str) -> str:
    """The page of a folder or module, from the folder of the documentation on."""
    return f"api/{name}.md"


def pages() -> dict[str, str]:
    """Markdown of each folder's page by its dotted name."""
    found = {}
    for package in PACKAGES:
        for init in sorted((ROOT / package).rglob("__init__.py")):
            folder = ".".join(init.parent.relative_to(ROOT).parts)
            names = declared(init.with_suffix(".pyi"), folder)
            if names:
                found[folder] = page(folder, [f"{names[name]}.{name}" for name in sorted(names)])
    for module in MODULES:
        found[module] = f"# {module}\n\n::: {module}\n    options: {{show_root_heading: false}}\n"
    return found


def page(folder: str, members: list[str]) -> str:
    """The page of a folder: its docstring, then each of its public names."""
    options = "    options: {members: false, show_root_heading: false}"
    return "\n\n".join([f"# {folder}", f"::: {folder}\n{options}", *map("::: {}".format, members)])


def declared(stub: Path, folder: str) -> dict[str, str]:
    """Public names of a folder and the modules that define them, from its stub."""
    if not stub.is_file():
        return {}
    names = {}
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            module = f"{folder}.{node.module}" if node.level else str(node.module)
            names.update({alias.asname or alias.name: module for alias in node.names})
    return names


def index() -> str:
    """The list of all pages with the first line of each folder's docstring."""
    lines = ["# API reference", "", "| import from | for |", "|---|---|"]
    for name in pages():
        path = ROOT.joinpath(*name.split("."))
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
        lines.append(f"| [`{name}`]({name}.md) | {text.splitlines()[0]} |")
    return "\n".join(lines) + "\n"
