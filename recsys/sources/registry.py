"""The sources by name."""

from recsys.config import RecommenderConfig, SourceName
from recsys.sources.als import ALSSource
from recsys.sources.base import Source
from recsys.sources.content import ContentSource
from recsys.sources.ease import EASESource
from recsys.sources.lightfm import FMSource
from recsys.sources.popularity import PopularitySource


def make_source(name: SourceName, config: RecommenderConfig) -> Source:
    """Create an unfitted source with the settings of `config`.

    Args:
        name: name of the source.
        config: settings of the recommender, which have those of each source.

    Examples:
        >>> from recsys import RecommenderConfig
        >>> source = make_source("als", RecommenderConfig(als={"factors": 32}))
        >>> source.fit(training_data).users.shape
        (60, 32)
    """
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
