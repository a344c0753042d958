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
    """Markdown of each folder's and module's page by its dotted name, in order."""
    folders = {}
    for package in PACKAGES:
        for init in sorted((ROOT / package).rglob("__init__.py")):
            folder = ".".join(init.parent.relative_to(ROOT).parts)
            folders[folder] = declared(init.with_suffix(".pyi"), folder)
    homes = {}  # where each name is documented in full: in the innermost folder that declares it
    for folder in sorted(folders, key=lambda folder: folder.count(".")):
        for name, module in folders[folder].items():
            homes[f"{module}.{name}"] = module if module in MODULES else folder
    found = {folder: page(folder, names, homes) for folder, names in folders.items() if names}
    found |= {module: heading(module, members=True) for module in MODULES}
    return {
        name: found[name]
        for package in PACKAGES
        for name in sorted(found)
        if name.split(".")[0] == package
    }


def page(folder: str, names: dict[str, str], homes: dict[str, str]) -> str:
    """The page of a folder: its docstring, links to names documented elsewhere, its other names."""
    parts, rows = [heading(folder, members=False)], []
    for name in sorted(names):
        full = f"{names[name]}.{name}"
        if homes[full] == folder:
            parts.append(f"::: {full}")
        else:
            rows.append(f"| [`{name}`][{full}] | {summary(full)} |")
    if rows:
        parts.insert(1, "\n".join(["| name | what it is |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def heading(name: str, *, members: bool) -> str:
    """Title and docstring of a folder or module, and all that is in it if `members`."""
    options = "show_root_heading: false, show_root_toc_entry: false"
    more = "" if members else ", members: false"
    return f"# {name}\n\n::: {name}\n    options: {{{options}{more}}}"


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


def summary(name: str) -> str:
    """The first line of the docstring of a folder, a module, or a name in a module."""
    path = ROOT.joinpath(*name.split("."))
    if path.is_dir():
        return first_line(ast.get_docstring(parse(path / "__init__.py")))
    if path.with_suffix(".py").is_file():
        return first_line(ast.get_docstring(parse(path.with_suffix(".py"))))
    body = parse(path.parent.with_suffix(".py")).body
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == path.name:
            return first_line(ast.get_docstring(node))
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = any(isinstance(target, ast.Name) and target.id == path.name for target in targets)
        if named and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            return first_line(str(below.value.value))
    return ""


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def first_line(text: str | None) -> str:
    """The first line of a docstring, for a cell of a table."""
    return (text or "").strip().partition("\n")[0].replace("|", "\\|")


def index() -> str:
    """The list of all pages with the first line of each docstring."""
    lines = ["# API reference", "", "| import from | for |", "|---|---|"]
    lines += [f"| [`{name}`]({name}.md) | {summary(name)} |" for name in pages()]
    return "\n".join(lines) + "\n"
