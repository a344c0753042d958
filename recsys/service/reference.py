"""The page of routes in the documentation, made from the description that the service gives."""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

_HEAD = """# Routes

This page is made from the OpenAPI description that a service gives at `/v1/openapi.json`:
`python -m recsys.service.reference > docs/routes.md`. How a service is started, and what keys,
limits and errors mean, is in [serving.md](serving.md#the-service).
"""


def routes_page(document: Mapping[str, Any]) -> str:
    """Return the page, as Markdown, for an OpenAPI document.

    Examples:
        >>> document = {"paths": {"/health/live": {"get": {"description": "Whether it answers."}}}}
        >>> "## GET /health/live" in routes_page(document)
        True
    """
    parts = [_HEAD]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append("\n".join(_operation(document, path, method, operation)))
    return "\n".join(parts)


def _operation(
    document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]
) -> Iterator[str]:
    yield f"## {method.upper()} {path}"
    yield ""
    yield str(operation.get("description", ""))
    yield ""
    role = operation.get("x-role")
    yield f"Needs a key with the role {role}, where keys are on." if role else "Needs no key."
    yield ""
    yield from _parameters(document, operation.get("parameters", []))
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield from _body(document, f"Body, `{kind}`:", content.get("schema", {}))
    for status, answer in operation.get("responses", {}).items():
        kinds = ", ".join(f"`{kind}`" for kind in answer.get("content", {}))
        yield f"- **{status}** {answer.get('description', '')}{f' ({kinds})' if kinds else ''}"
    yield ""
    for status, answer in operation.get("responses", {}).items():
        schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
        if status.startswith("2") and (examples := _resolved(document, schema).get("examples")):
            yield from _json(f"Answer {status}:", examples[0])


def _parameters(document: Mapping[str, Any], parameters: list[Mapping[str, Any]]) -> Iterator[str]:
    if not parameters:
        return
    yield "| parameter | in | type | what it is |"
    yield "|---|---|---|---|"
    for one in parameters:
        schema = one.get("schema", {})
        yield (
            f"| `{one['name']}` | {one['in']} | {_type(document, schema)} | "
            f"{_cell(one.get('description') or schema.get('description') or '')} |"
        )
    yield ""


def _body(document: Mapping[str, Any], title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    found = _resolved(document, schema)
    yield title
    yield ""
    yield "| field | type | what it is |"
    yield "|---|---|---|"
    yield from _fields(document, found, "")
    yield ""
    if examples := found.get("examples"):
        yield from _json("For example:", examples[0])


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any], before: str) -> Iterator[str]:
    required = schema.get("required", [])
    for name, one in schema.get("properties", {}).items():
        kind = _type(document, one) + (", required" if name in required else "")
        yield f"| `{before}{name}` | {kind} | {_cell(one.get('description', ''))} |"
        inner = _resolved(document, one.get("items", {}))
        yield from _fields(document, inner, f"{before}{name}[].")


def _json(title: str, value: object) -> Iterator[str]:
    yield title
    yield ""
    yield "```json"
    yield json.dumps(value, indent=1, ensure_ascii=False)
    yield "```"
    yield ""


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if name := schema.get("$ref"):
        found: Mapping[str, Any] = document["components"]["schemas"][name.rpartition("/")[2]]
        return found
    return schema


def _type(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The type of a value in a few words, with its bounds and its default."""
    schema = _resolved(document, schema)
    if several := schema.get("anyOf"):
        kinds = list(dict.fromkeys(_type(document, one) for one in several))
        text = " or ".join(kind for kind in kinds if kind != "null")
    elif "enum" in schema:
        text = " or ".join(f"`{one}`" for one in schema["enum"])
    elif "const" in schema:
        text = f"`{schema['const']}`"
    elif schema.get("type") == "array":
        text = f"list of {_type(document, schema.get('items', {}))}"
    else:
        text = str(schema.get("type", "any"))
        least, most = schema.get("minimum"), schema.get("maximum")
        if least is not None and most is not None:
            text += f", {_number(least)} to {_number(most)}"
    default = schema.get("default")
    return text if default in (None, [], {}, "") else f"{text}; `{json.dumps(default)}`"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _print_page() -> None:
    from pathlib import Path

    from recsys.service.app import create_app

    document = create_app(Path("model")).openapi()
    sys.stdout.write(routes_page(document))


if __name__ == "__main__":
    _print_page()
