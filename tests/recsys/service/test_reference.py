"""The page of routes in the documentation says what the service says of itself."""

from pathlib import Path

from recsys.service.app import create_app
from recsys.service.reference import routes_page

PAGE = Path(__file__).parents[3] / "docs" / "routes.md"


def test_the_page_of_routes_is_current() -> None:
    document = create_app(Path("model")).openapi()
    assert PAGE.read_text(encoding="utf-8") == routes_page(document), (
        "make it anew: python -m recsys.service.reference > docs/routes.md"
    )
    for path in document["paths"]:
        assert f" {path}\n" in PAGE.read_text(encoding="utf-8")
