"""What a listener is told of the tags that an encoder predicts: the genre first, then the mood.

An encoder may tell one genre of several, or any number of tags at once, among which genres stand
beside eras, voices and moods, as those of Last.fm's listeners that MusiCNN knows. "It sounds like
80s" is no answer to what a song sounds like, even where that is the most probable tag.
"""

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

from recsys.database.song import Scores

_GENRE_TAGS = frozenset({"genre", "genres", "subgenre", "style", "styles"})
"""Names of tags whose values are genres."""

_MOOD_TAGS = frozenset({"mood", "moods", "emotion", "emotions"})
"""Names of tags whose values are moods."""

_GENRES = frozenset({
    "acid jazz", "afrobeat", "alternative", "alternative rock", "ambient", "baroque", "bebop",
    "black metal", "bluegrass", "blues", "bossa nova", "breakbeat", "britpop", "chiptune", "choral",
    "classic rock", "classical", "country", "dance", "dancehall", "death metal", "disco",
    "downtempo", "drum and bass", "drum n bass", "dub", "dubstep", "easy listening", "edm",
    "electro", "electronic", "electronica", "emo", "experimental", "flamenco", "folk", "folk rock",
    "funk", "fusion", "garage", "gospel", "grime", "grunge", "hard rock", "hardcore", "heavy metal",
    "hip hop", "hiphop", "house", "idm", "indie", "indie pop", "indie rock", "industrial", "j pop",
    "jazz", "jungle", "k pop", "latin", "lo fi", "metal", "metalcore", "minimal", "motown",
    "new age", "new wave", "noise", "opera", "pop", "pop rock", "post punk", "post rock",
    "progressive rock", "psychedelic", "psychedelic rock", "punk", "punk rock", "r&b", "ragtime",
    "rap", "reggae", "reggaeton", "rnb", "rock", "rock n roll", "rockabilly", "salsa", "samba",
    "shoegaze", "ska", "soft rock", "soul", "soundtrack", "swing", "synth pop", "synthpop", "tango",
    "techno", "thrash metal", "trance", "trap", "trip hop", "world",
})  # fmt: skip
"""Genres among the values of other tags."""

_MOODS = frozenset({
    "aggressive", "angry", "beautiful", "calm", "catchy", "chill", "chillout", "cheerful", "dark",
    "dreamy", "energetic", "epic", "happy", "melancholic", "melancholy", "mellow", "party",
    "peaceful", "relaxing", "romantic", "sad", "sexy", "tender", "upbeat",
})  # fmt: skip
"""Moods among them."""

_MOST = 3
"""Genres that are named, where several may hold at once."""

_NAMED = 0.5
"""Of the most probable genre's probability: from so much on others are named beside it."""

_LEAST_MOOD = 0.1
"""Probability from which a mood is named, where several may hold at once."""


def best_genre(scores: Scores | None) -> tuple[str | None, float | None]:
    """Return the most probable genre, and its probability; Nones where nothing is predicted.

    Of the tag that is called genre, if there is one; otherwise, of a tag of which several values
    may hold at once, of those that are genres, if there are any; otherwise of the first tag.

    Examples:
        >>> best_genre({"tags": {"80s": 0.4, "blues": 0.3, "Mellow": 0.2}})
        ('blues', 0.3)
        >>> best_genre({"emotion": {"calm": 0.9, "wild": 0.1}, "genre": {"jazz": 0.6, "ska": 0.4}})
        ('jazz', 0.6)
        >>> best_genre(None)
        (None, None)
    """
    found = _values(scores, _GENRE_TAGS, _GENRES)
    if not found and scores:
        found = next(iter(scores.values()))
    return _best(found)


def say_sound(scores: Scores | None) -> str:
    """Say in words what predicted tags mean; "" where nothing is predicted.

    Where several values may hold at once, up to three genres are named.

    Examples:
        >>> say_sound({"genre": {"jazz": 0.7, "rock": 0.3}})
        'it sounds like jazz (70%)'
        >>> say_sound({"tags": {"80s": 0.6, "blues": 0.4, "rock": 0.3, "Mellow": 0.2}})
        'it sounds like blues (40%), rock (30%), mood Mellow (20%)'
    """
    best, probability = best_genre(scores)
    if scores is None or best is None or probability is None:
        return ""
    values = _values(scores, _GENRE_TAGS, _GENRES) or next(iter(scores.values()))
    named = [best]
    if _hold_at_once(values):
        ordered = sorted(values, key=values.__getitem__, reverse=True)[:_MOST]
        named = [name for name in ordered if values[name] >= _NAMED * probability]
    parts = [f"{name} ({values[name]:.0%})" for name in named]
    moods = _values(scores, _MOOD_TAGS, _MOODS)
    mood, sure = _best(moods)
    wanted = _LEAST_MOOD if _hold_at_once(moods) else 0.0
    if mood is not None and mood not in named and sure is not None and sure >= wanted:
        parts.append(f"mood {mood} ({sure:.0%})")
    return f"it sounds like {', '.join(parts)}"


def genres_among(values: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Return, by tag, those values that are named before others, being genres among all kinds.

    Args:
        values: all values of each predicted tag.

    Returns:
        Only tags that have genres and other values; {} where a tag is called genre. They are meant
        for songs of which several values may hold at once.

    Examples:
        >>> genres_among({"tags": ["80s", "blues"], "emotion": ["calm"]})
        {'tags': ['blues']}
        >>> genres_among({"tags": ["80s", "blues"], "genre": ["ska", "sea shanty"]})
        {}
    """
    if any(_plain(tag) in _GENRE_TAGS for tag in values):
        return {}
    found = {
        tag: [name for name in own if _is_among(name, _GENRES)]
        for tag, own in values.items()
        if _plain(tag) not in _MOOD_TAGS
    }
    return {tag: own for tag, own in found.items() if 0 < len(own) < len(values[tag])}


class NamedValues(NamedTuple):
    """The values of a predicted tag that are probable enough to be named."""

    kind: Literal["genre", "mood", "other"]
    tag: str
    """The encoder's name of the tag."""
    values: list[str]
    """The most probable first."""


def named_values(scores: Scores | None, least: float) -> list[NamedValues]:
    """Return what is worth naming of all predicted tags, as `say_sound` tells genres.

    Of a tag of which one value holds, the most probable one. Where several may hold at once, up
    to three genres, each at least half as probable as the first, up to three moods, and all
    further values. Genres and moods among the values of a mixed tag are told apart from it.

    Args:
        scores: {tag: {value: probability}}, or None.
        least: least probability of a value.

    Examples:
        >>> scores = {"tags": {"80s": 0.6, "blues": 0.7, "rock": 0.3, "Mellow": 0.2}}
        >>> [(one.kind, one.values) for one in named_values(scores, 0.5)]
        [('genre', ['blues']), ('other', ['80s'])]
        >>> scores = {"genre": {"jazz": 0.4, "rock": 0.6}, "era": {"80s": 0.3, "90s": 0.7}}
        >>> named_values(scores, 0.65)
        [NamedValues(kind='other', tag='era', values=['90s'])]
    """
    genre_tag, genres = _with_tag(scores, _GENRE_TAGS, _GENRES)
    mood_tag, moods = _with_tag(scores, _MOOD_TAGS, _MOODS)
    found = []
    for tag, own in (scores or {}).items():
        several = _hold_at_once(own)
        rest = dict(own)
        if tag == genre_tag:
            floor = max(least, _NAMED * max(genres.values())) if several else least
            ordered = _ordered(genres, floor)[: _MOST if several else 1]
            found.append(NamedValues("genre", tag, ordered))
            rest = {name: p for name, p in rest.items() if name not in genres}
        if tag == mood_tag:
            own_moods = {name: p for name, p in moods.items() if name in rest}
            ordered = _ordered(own_moods, least)[: _MOST if several else 1]
            found.append(NamedValues("mood", tag, ordered))
            rest = {name: p for name, p in rest.items() if name not in moods}
        ordered = _ordered(rest, least)
        found.append(NamedValues("other", tag, ordered if several else ordered[:1]))
    return [one for one in found if one.values]


def _ordered(values: Mapping[str, float], least: float) -> list[str]:
    """Values that are probable enough, the most probable first."""
    ordered = sorted(values, key=values.__getitem__, reverse=True)
    return [name for name in ordered if values[name] >= least]


def _values(
    scores: Scores | None, tags: Collection[str], values: Collection[str]
) -> Mapping[str, float]:
    """The values of the tag with one of these names, or those with these names of a mixed tag."""
    return _with_tag(scores, tags, values)[1]


def _with_tag(
    scores: Scores | None, tags: Collection[str], values: Collection[str]
) -> tuple[str | None, Mapping[str, float]]:
    """What `_values` finds, and the tag that it is of."""
    for tag, own in (scores or {}).items():
        if own and _plain(tag) in tags:
            return tag, own
    for tag, own in (scores or {}).items():
        if _plain(tag) in _MOOD_TAGS:  # even where a mood has the name of a genre
            continue
        found = {name: p for name, p in own.items() if _is_among(name, values)}
        # Values of which one alone holds are all of one kind.
        if found and _hold_at_once(own):
            return tag, found
    return None, {}


def _hold_at_once(values: Mapping[str, float]) -> bool:
    """Whether several of a tag's values may hold at once: they do not add to 1."""
    return abs(sum(values.values()) - 1) > 1e-3


def _is_among(name: str, values: Collection[str]) -> bool:
    """Whether a value or its last word is among these, as "french pop" is among genres."""
    plain = _plain(name)
    return plain in values or plain.rpartition(" ")[2] in values


def _best(values: Mapping[str, float]) -> tuple[str | None, float | None]:
    if not values:
        return None, None
    best = max(values, key=values.__getitem__)
    return best, values[best]


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", " ").replace("_", " ")
