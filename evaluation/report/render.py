"""HTML pages from templates, and the report as Markdown with static pictures."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any
from urllib.parse import quote

from datasets.texts.safe_text import escape_markdown, printable, printable_json, printable_lines
from evaluation.report.charts import Chart


def render_page(
    template: str, context: dict[str, Any], figures: dict[str, Any], styles: tuple[str, ...]
) -> str:
    """Render a self-contained page with its styles, scripts and the plotting library.

    Args:
        template: name of a template that extends ``base.html``.
        context: variables of the template, with ``title``, ``byline``, ``summary`` and
            ``cautions`` (the last two are lists of sentences).
        figures: Plotly figures by the id of their element.
        styles: file names of style sheets in the folder of the templates.

    Returns:
        The HTML.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Also on a page, a name must not turn around the text that follows it.
        finalize=lambda value: (
            printable_lines(value)
            if isinstance(value, str) and not isinstance(value, Markup)
            else value
        ),
    )
    folder = resources.files("evaluation") / "templates"
    plotly = folder / "plotly" / "plotly-basic.min.js"
    style = "".join((folder / name).read_text(encoding="utf-8") for name in styles)
    return environment.get_template(template).render(
        {
            **context,
            "style": Markup(style),
            "script": Markup((folder / "report.js").read_text(encoding="utf-8")),
            # A model named "</script>" must not end the script.
            "figures": Markup(json.dumps(figures, allow_nan=False).replace("<", "\\u003c")),
            # Only what the plots here are made of: lines and points.
            "plotly": Markup(plotly.read_text(encoding="utf-8")),
        }
    )


def markdown_table(names: Sequence[str], rows: Sequence[Sequence[str]], *, text: int) -> list[str]:
    """Make the lines of a table; the first ``text`` columns align left, the others right."""
    rule = [":--" if place < text else "--:" for place in range(len(names))]
    return [_line(names), _line(rule), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    """A text in a table: without line ends, and with every bar escaped."""
    return re.sub(r"(?<!\\)\|", r"\\|", text.replace("\n", " "))


def report_markdown(shown: Mapping[str, Any], pictures: str) -> str:
    """Render a report as Markdown.

    Args:
        shown: what ``evaluation.report.content.report_content`` returns.
        pictures: address of the folder with a .png file of each plot.

    Returns:
        The Markdown.
    """
    lines = [f"# {escape_markdown(shown['title'])}", "", escape_markdown(shown["byline"]), ""]
    lines += _verdict(shown["verdict"])
    for sentence in shown["summary"]:
        lines += [escape_markdown(sentence), ""]
    if shown["cautions"]:
        lines += [
            "**Read this first**",
            "",
            *(f"- {escape_markdown(n)}" for n in shown["cautions"]),
            "",
        ]
    parts = {
        "new-items": _new_items(shown["new_items"], pictures),
        "results": _results(shown),
        "glance": _plots(shown["glance"], pictures),
        "warm-cold": _with_plots(shown["warm_cold"], pictures),
        "controls": _controls(shown),
        "differences": _differences(shown),
        "slices": _slices(shown["slices"]),
        "beyond": _with_plots(shown["beyond"], pictures),
        "curve": _with_plots(shown["curve"], pictures),
        "folds": _titled_tables(shown["folds"]),
        "genre": _genre(shown["genre"]),
        "examples": _examples(shown["examples"]),
        "map": _with_plots(shown["map"], pictures),
        "data": _data(shown),
        "all-figures": _titled_tables(shown["detailed"]),
        "costs": [*_costs(shown["costs"]), *_sources(shown["sources"])],
        "repeat": _repeat(shown),
    }
    for name, title in shown["sections"].items():
        if name in parts:
            lines += [f"## {title}", "", *parts[name]]
    return "\n".join(lines).rstrip() + "\n"


def _verdict(verdict: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            escape_markdown(tile["title"]),
            escape_markdown(f"{tile['value']} {tile['unit']}"),
            escape_markdown("; ".join(tile["lines"])),
            escape_markdown(tile["answer"]),
        ]
        for tile in verdict["tiles"]
    ]
    outcome = str(verdict["outcome"])
    return [
        f"**{outcome[:1].upper()}{outcome[1:]}.** {escape_markdown(verdict['reason'])}",
        "",
        *markdown_table(["", "figure", "beside it", "answer"], rows, text=4),
        "",
    ]


def _new_items(part: Mapping[str, Any] | None, pictures: str) -> list[str]:
    if part is None:
        return []
    lines = _plots(part, pictures)
    titled = [("Every model’s own lists", part["own"])]
    titled += [(table["title"], table) for table in part["budgets"]]
    for title, table in titled:
        rows = [
            [
                f"*{escape_markdown(row['name'])}*"
                if row["control"]
                else escape_markdown(row["name"]),
                *(
                    f"{cell['mean']} ({cell['spread']})" if cell["spread"] else cell["mean"]
                    for cell in row["cells"]
                ),
            ]
            for row in table["rows"]
        ]
        names = [table["heading"].lower(), *map(escape_markdown, table["columns"])]
        lines += [f"### {escape_markdown(title)}", "", *markdown_table(names, rows, text=1), ""]
    return lines


def _results(shown: Mapping[str, Any]) -> list[str]:
    lines: list[str] = [f"- {escape_markdown(sentence)}" for sentence in shown["findings"]]
    lines += [""] if lines else []
    for main in shown["main"]:
        lines += [*_models(main), ""]
    note = (
        f"Mean over {shown['unit']} and its {shown['level']} bootstrap interval. Bold: the best"
        " model of a column. †: no difference from the best shown. *Italic*: controls, which are"
        " never the best."
    )
    if shown["sampled"]:
        note += (
            " Sampled: ranked against a few items drawn at random and not the whole catalogue,"
            " which is easier and may order models otherwise."
        )
    return [*lines, note, ""]


def _models(shown: Mapping[str, Any]) -> list[str]:
    """A table of models, with names of column groups as part of the headings."""
    names = ["model"]
    labels = iter(shown["columns"])
    for group, span in shown["groups"]:
        for _ in range(span):
            label = next(labels)[0]
            names.append(escape_markdown(f"{group}: {label}" if group else label))
    rows = [[_name(row), *(_figure(cell) for cell in row["cells"])] for row in shown["rows"]]
    return markdown_table(names, rows, text=1)


def _figure(cell: Mapping[str, Any]) -> str:
    mean = f"**{cell['mean']}**" if cell["best"] else cell["mean"] + ("†" if cell["tied"] else "")
    return f"{mean} ({cell['spread']})" if cell["spread"] else mean


def _name(row: Mapping[str, Any]) -> str:
    name = escape_markdown(row["model"])
    return f"*{name}*" if row["control"] else name


def _plots(part: Mapping[str, Any], pictures: str) -> list[str]:
    lines: list[str] = []
    for chart in part["charts"]:
        lines += _plot(chart, pictures)
    return lines


def _plot(chart: Chart, pictures: str) -> list[str]:
    lines = [f"**{escape_markdown(chart.title)}** {escape_markdown(chart.note)}".rstrip(), ""]
    address = quote(f"{pictures}/{chart.name}.png")
    return [*lines, f"![{escape_markdown(chart.description)}]({address})", ""]


def _with_plots(part: Mapping[str, Any] | None, pictures: str) -> list[str]:
    if part is None:
        return []
    lines = _plots(part, pictures)
    if part.get("table"):
        lines += [*_models(part["table"]), ""]
    return lines + _titled_tables(part.get("tables", ()))


def _titled_tables(tables: Iterable[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for shown in tables:
        users = f" ({shown['n']:,} users)" if "n" in shown else ""
        lines += [f"### {escape_markdown(shown['title'])}{users}", "", *_models(shown), ""]
    return lines


def _controls(shown: Mapping[str, Any]) -> list[str]:
    lines: list[str] = [escape_markdown(shown["controls_correction"]), ""]
    names = ("control", "its figure", "exposes", "model less control", "corrected", "so")
    for part in shown["controls"]:
        rows = [
            [
                escape_markdown(row["control"]),
                row["own"]["mean"],
                f"{escape_markdown(row['model'])} {row['of_model']['mean']}",
                f"{row['gap']['mean']} ({row['gap']['spread']})",
                row["gap"]["p"],
                escape_markdown(row["sentence"]),
            ]
            for row in part["rows"]
        ]
        lines += [
            f"### {escape_markdown(part['title'])}",
            "",
            *markdown_table(names, rows, text=1),
            "",
        ]
    return lines


def _differences(shown: Mapping[str, Any]) -> list[str]:
    lines = [
        "p is corrected for the number of models compared (Holm): shown is what is below"
        f" {shown['alpha']} with an interval that leaves out 0.",
        "",
    ]
    if "cold" in shown["kinds"]:
        lines[0] += (
            f" On new {shown['noun']} there is a second luck, which of them were held out: only"
            f" the item-wise AUC, whose units are the {shown['noun']}, has it in its intervals and"
            " p-values."
        )
    for part in shown["differences"]:
        rows = [[_name(row), *_gap(row["baseline"]), *_gap(row["best"])] for row in part["rows"]]
        against = (escape_markdown(part["baseline"]), f"the best, {escape_markdown(part['best'])}")
        names = ["model"]
        for other in against:
            names += [f"against {other}", "verdict"]
        lines += [
            f"### {escape_markdown(part['title'])}",
            "",
            *markdown_table(names, rows, text=1),
            "",
        ]
    return lines


def _gap(cell: Mapping[str, str] | None) -> list[str]:
    if cell is None:
        return ["–", ""]
    verdict = f"{cell['verdict']}, {cell['p']}" if cell["p"] else cell["verdict"]
    return [f"{cell['mean']} ({cell['spread']})", verdict]


def _slices(sections: Sequence[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for section in sections:
        lines += [escape_markdown(section["bounds"]), ""] if section["bounds"] else []
        for part in section["tables"]:
            title = f"{section['title']}. {part['title']}, {part['metric']}"
            lines += [f"### {escape_markdown(title)}", ""]
            lines += [*(_matrix(part["matrix"]) if part["matrix"] else _models(part["table"])), ""]
    return lines


def _matrix(shown: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            escape_markdown(row["name"]),
            row["n"],
            *(f"**{cell['text']}**" if cell["best"] else cell["text"] for cell in row["cells"]),
        ]
        for row in shown["rows"]
    ]
    return markdown_table(["", "users", *map(escape_markdown, shown["models"])], rows, text=1)


def _genre(shown: Mapping[str, Any] | None) -> list[str]:
    if shown is None:
        return []
    folds = [[str(row["fold"]), str(row["n"]), *row["values"]] for row in shown["rows"]]
    folds += [["mean", "", *shown["mean"]], ["SD", "", *shown["sd"]]]
    names = ("fold", "recordings", "loss", "precision@1", "precision@3")
    counts = [
        [escape_markdown(row["name"]), *(str(cell["count"]) for cell in row["cells"])]
        for row in shown["confusion"]
    ]
    confusion = markdown_table(
        ["true \\ first", *map(escape_markdown, shown["names"])], counts, text=1
    )
    return [
        escape_markdown(shown["sentence"]),
        "",
        *markdown_table(names, folds, text=1),
        "",
        *confusion,
        "",
    ]


def _examples(users: Sequence[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for user in users:
        rows = [[_name(row), *(_item(item) for item in row["items"])] for row in user["rows"]]
        places = [str(place) for place in user["places"]]
        rows = [[*row, *[""] * (len(places) + 1 - len(row))] for row in rows]
        lines += [
            f"### {escape_markdown(user['name'])} ({escape_markdown(user['id'])},"
            f" {escape_markdown(user['split'])})",
            "",
            f"Played most: {'; '.join(map(_item, user['played']))}  ",
            f"Held out: {'; '.join(map(_item, user['held_out']))}  ",
            f"{escape_markdown(user['facts'])}.",
            "",
            *markdown_table(["model", *places], rows, text=1 + len(places)),
            "",
        ]
    return lines


def _item(item: Mapping[str, Any]) -> str:
    name = escape_markdown(item["name"]) + (
        f" ({escape_markdown(item['by'])})" if item["by"] else ""
    )
    return f"**✓ {name}**" if item.get("hit") else name


def _data(shown: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            escape_markdown(split[name])
            for name in ("name", "how", "train", "test", "users", "cold", "withheld")
        ]
        for split in shown["splits"]
    ]
    names = ("split", "how", "training rows", "test rows", "test users", "new", "withheld")
    facts = ", ".join(
        escape_markdown(f"{name.lower()} {value}") for name, value in shown["dataset"]
    )
    return [f"{facts[:1].upper()}{facts[1:]}.", "", *markdown_table(names, rows, text=2), ""]


def _costs(rows: Sequence[Mapping[str, str]]) -> list[str]:
    names = ("split", "model", "fit, s", "onboarding, s", "users a second", "peak memory, MiB")
    cells = [
        [
            escape_markdown(row["split"]),
            escape_markdown(row["model"]),
            *(row[name] for name in ("fit", "onboard", "recommend", "memory")),
        ]
        for row in rows
    ]
    return [*markdown_table(names, cells, text=2), ""]


def _sources(rows: Sequence[Mapping[str, str]]) -> list[str]:
    if not rows:
        return []
    names = ("split", "model", "source", "takes part", "fit, s", "known items", "new items")
    keys = ("split", "model", "source", "part", "fit", "warm", "cold")
    cells = [[escape_markdown(row[key]) for key in keys] for row in rows]
    return [
        "What each source costs, and adds to nDCG@10 on plays held out inside training (± its "
        "standard error):",
        "",
        *markdown_table(names, cells, text=4),
        "",
    ]


def _repeat(shown: Mapping[str, Any]) -> list[str]:
    lines = ["```sh", printable(shown["command"]), "```", ""] if shown["command"] else []
    lines += [f"- {name}: {escape_markdown(str(value))}" for name, value in shown["provenance"]]
    # Some programs look for HTML in code, too.
    configuration = printable_json(shown["configuration"]).replace("<", "\\u003c")
    return [*lines, "", "```json", configuration, "```", ""]
