"""Which sources there are, by name."""

from recsys.config import RecommenderConfig, SourceName
from recsys.sources.als import ALSSource
from recsys.sources.base import Source
from recsys.sources.content import ContentSource
from recsys.sources.ease import EASESource
from recsys.sources.lightfm import FMSource
from recsys.sources.popularity import PopularitySource


def make_source(name: SourceName, config: RecommenderConfig) -> Source:
    """An unfitted source by name."""
    match name:
        case "als":
            return ALSSource(config.als, config.content_map)
        case "fm":
            return FMSource(config.fm, config.content_map)
        case "content":
            return ContentSource()
        case "ease":
            return EASESource(config.ease, config.content_map)
        case "popularity":
            return PopularitySource()
