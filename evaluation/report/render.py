"""A report as one self-contained page: what all pages have in common."""

import json
from importlib import resources
from typing import Any


def render(
    template: str, context: dict[str, Any], figures: dict[str, Any], styles: tuple[str, ...]
) -> str:
    """A page as text, with its styles, scripts and the plotting library within.

    Args:
        template: name of a template that extends ``base.html``.
        context: what the template shows; among it ``title``, ``byline``, ``summary`` and
            ``cautions`` (lists of sentences).
        figures: Plotly figures by the id of their place.
        styles: names of style sheets, beside the templates.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = resources.files("evaluation") / "templates"
    style = "".join((folder / name).read_text(encoding="utf-8") for name in styles)
    return environment.get_template(template).render(
        {
            **context,
            "style": Markup(style),
            "script": Markup((folder / "report.js").read_text(encoding="utf-8")),
            # A name such as "</script>" must not end the script it stands in.
            "figures": Markup(json.dumps(figures, allow_nan=False).replace("<", "\\u003c")),
            "plotly": Markup(get_plotlyjs()),
        }
    )
