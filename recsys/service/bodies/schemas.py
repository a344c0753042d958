"""What requests and answers hold, with examples: the schemas of OpenAPI."""

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from datasets.tables.ids import checked_id
from recsys.ranking.similarity import Space

LONGEST_ID = 1000
"""Characters of an id in a request at most."""

MOST_CHARACTERS = 2000
"""Characters of a title, a tag and so on at most."""

_MOST_VALUES = 100
"""Columns, and values of a column, that a filter names at most."""


def _read_id(value: object) -> str:
    if isinstance(value, str) and len(value) > LONGEST_ID:
        raise ValueError(f"has {len(value):,} characters, at most {LONGEST_ID:,} are taken")
    if (
        isinstance(value, bool)
        or not isinstance(value, str | int)
        or (isinstance(value, int) and abs(value) >= 10**40)
    ):
        raise ValueError("must be a text or a whole number")
    return checked_id("the id", value)


def _read_path_id(value: object) -> str:
    """An id as it stands in a path: percent-encoded, in UTF-8."""
    try:
        return _read_id(unquote(str(value), errors="strict"))
    except UnicodeDecodeError:
        raise ValueError("is not percent-encoded UTF-8") from None


def _read_time(value: object) -> datetime:
    """A time: ISO 8601, or seconds since 1970."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not math.isfinite(value) or abs(value) > 1e11:
                raise ValueError
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str) and len(value) <= 40:
            found = datetime.fromisoformat(value)
            if 1678 <= found.year <= 2261:
                return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise ValueError("must be a time as in 2026-05-01T12:00:00Z, or seconds since 1970")


_ID_SCHEMA: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_ID,
    "examples": ["s1"],
}

Id = Annotated[str, BeforeValidator(_read_id), WithJsonSchema(_ID_SCHEMA)]
"""An id of an item or a user: a text, or a whole number, which becomes its digits."""

PathId = Annotated[str, BeforeValidator(_read_path_id), WithJsonSchema(_ID_SCHEMA)]
"""An id in a path, percent-encoded: a slash in it is %2F."""

Time = Annotated[
    datetime,
    BeforeValidator(_read_time),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]}),
]
"""A time: ISO 8601 (UTC if it names no zone), or seconds since 1970."""

Text = Annotated[str, Field(max_length=MOST_CHARACTERS)]
"""A title, an artist, the value of a tag."""

_Value = (
    Annotated[str, Field(max_length=MOST_CHARACTERS)]
    | Annotated[int, Field(ge=-(10**18), le=10**18)]
)
WhereBody = Annotated[
    dict[Annotated[str, Field(max_length=MOST_CHARACTERS)],
         _Value | Annotated[list[_Value], Field(max_length=_MOST_VALUES)]],
    Field(max_length=_MOST_VALUES),
]  # fmt: skip
"""Columns with the value, or the values, of which an item must have one."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

_WHOLE = 1_000_000


class Body(BaseModel):
    """Base class of what requests hold: an unknown field, or a value of another type, is an error.

    Ids and times say themselves what they take.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class ListOptionsBody(Body):
    """The options of a list; see `Recommender.recommend`."""

    k: int = Field(10, ge=1, le=_WHOLE, description="Length of the list.")
    exclude_seen: bool = Field(True, description="Leave out what was played.")
    exclude: list[Id] = Field([], description="Items to leave out.")
    only: list[Id] | None = Field(None, description="Items to choose from.")
    where: WhereBody | None = Field(
        None, description="Columns with values that items must have.", examples=[{"genre": "jazz"}]
    )
    per_artist: int | None = Field(
        None, ge=1, le=_WHOLE, description="Songs of one artist at most."
    )
    diversity: Share = Field(0.0, description="0: the order of scores; 1: the songs least alike.")
    popularity_correction: Share = Field(
        0.0, description="How much of a song's popularity is taken off its score."
    )
    discovery: Share | None = Field(
        None, description="The share of accuracy that the list may lose so that it has new songs."
    )
    new: Literal["only"] | Annotated[int, Field(ge=0, le=_WHOLE)] | Share | None = Field(
        None,
        description='"only" for new songs alone, a whole number of places for them, or a share of '
        "the places as a number with a point: 1 is one place, 1.0 all.",
    )


class HistoryBody(ListOptionsBody):
    """What somebody has played who is no user of the model, and the options of the list."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"history": {"s1": 3, "s4": 1}, "k": 5, "discovery": 0.2}]}
    )

    history: list[Id] | dict[str, float] = Field(
        description="Items, or items with the number of plays of each."
    )


class ExplanationBody(Body):
    """What somebody has played who is no user of the model, and the item to explain."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"history": ["s1", "s4"], "item_id": "s3"}]}
    )

    history: list[Id] | dict[str, float] = Field(
        description="Items, or items with the number of plays of each."
    )
    item_id: Id
    n: int = Field(5, ge=1, le=50, description="Nearest played songs that are named.")


class PlayBody(Body):
    """One play, or several of one user and item."""

    user_id: Id
    item_id: Id
    weight: float = Field(1.0, ge=0, le=1e12, description="How many plays.")
    timestamp: Time | None = Field(None, description="When.")
    event_id: Annotated[str, Field(max_length=500)] = Field(
        "", description="A name of this play: one that is known does not count again."
    )


class PlaysBody(Body):
    """Plays, with a name by which a repeated request is known."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "batch_id": "phone-7/2026-05-01T12:00",
                    "plays": [{"user_id": "ann", "item_id": "s1"}],
                }
            ]
        }
    )

    plays: list[PlayBody]
    batch_id: Id | None = Field(
        None, description="A name of these plays: with it they count once, however often sent."
    )
    mode: Literal["add", "replace"] = Field(
        "add", description="Add to what was played, or take its place."
    )


class SongTexts(Body):
    """What is known of a new song besides its sound."""

    item_id: Id | None = Field(
        None, description="Its id; of an upload without one it is made from the content."
    )
    title: Text = ""
    artist: Text = ""
    album: Text = ""
    genre: Text = ""
    tags: Annotated[dict[Text, Text], Field(max_length=_MOST_VALUES)] = {}


class EmbeddingBody(SongTexts):
    """A new song by its embedding."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"item_id": "n1", "embedding": [0.1, 0.9, 0.0, 0.2], "title": "New"}]
        }
    )

    embedding: Annotated[list[float], Field(min_length=1, max_length=100_000)] = Field(
        description="As many numbers as the model's embeddings have."
    )


class PlaylistBody(Body):
    """What a playlist is made of; see `Recommender.playlist`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"seeds": ["s1", "s4"], "length": 8, "path": True}]}
    )

    seeds: Annotated[list[Id], Field(min_length=1)] = Field(description="Items, in order.")
    length: int = Field(20, ge=1, le=_WHOLE, description="Songs, seeds included.")
    path: bool = Field(False, description="Go from each seed to the next in small steps.")
    by: Space = Field("fused", description="What songs are compared by.")
    per_artist: int | None = Field(None, ge=1, le=_WHOLE)
    exclude: list[Id] = []
    where: WhereBody | None = None
    include_seeds: bool = True
    user_id: Id | None = Field(None, description="A user whose taste counts as well.")
    playable: bool = Field(False, description="Only songs whose recording is there.")


# ---------------------------------------------------------------------- answers


class ListedItem(BaseModel):
    """An item in a list."""

    rank: int
    item_id: str
    score: float
    title: str
    artist: str
    genre: str
    cold: bool
    new: bool | None = None
    shares: dict[str, float] | None = Field(
        None, description="How much of the score each source gave, adding to 1."
    )


class ItemList(BaseModel):
    """A list of items."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "list_id": "1f0c2a9be3d14d37",
                    "generation": "9f86d081884c.12",
                    "items": [
                        {
                            "rank": 1, "item_id": "s3", "score": 0.71, "title": "Blue",
                            "artist": "Ana", "genre": "jazz", "cold": False, "new": False,
                            "shares": {"als": 0.6, "content": 0.4},
                        }
                    ],
                    "notes": [],
                }
            ]
        }
    )  # fmt: skip

    list_id: str = Field(description="The same for the same question to the same model.")
    generation: str = Field(description="State of the model; another after every change.")
    items: list[ListedItem]
    fallback: str | None = Field(
        None,
        description='Why the list is not personal: "popular" or "varied", as nothing is known.',
    )
    notes: list[str] = Field([], description="What could not be done as asked.")


class ListedUser(BaseModel):
    """A user in an audience."""

    rank: int
    user_id: str
    score: float
    shares: dict[str, float]
    like: str = Field(description="The item that the user has played which is most like the song.")
    reason: str


class Audience(BaseModel):
    """The users who will like a song best."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "list_id": "10e8b72dd7c4aab9", "generation": "9f86d081884c.12",
                    "users": [
                        {
                            "rank": 1, "user_id": "ann", "score": 0.83,
                            "shares": {"als": 0.4, "content": 0.6}, "like": "s5",
                            "reason": "content 60%, als 40%; nearest by sound: Blue by Ana (0.93)",
                        }
                    ],
                    "empty": None,
                }
            ]
        }
    )  # fmt: skip

    list_id: str
    generation: str
    users: list[ListedUser]
    empty: str | None = Field(None, description="Why nobody is in it.")


class PlaylistItem(BaseModel):
    """A song of a playlist."""

    rank: int
    item_id: str
    score: float
    distance: float | None = Field(description="From the song before: one minus the cosine.")
    title: str
    artist: str
    genre: str
    cold: bool
    playable: bool = Field(description="Whether its recording may be listened to here.")


class Playlist(BaseModel):
    """A playlist."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "list_id": "5c7d1a2b3c4d5e6f", "generation": "9f86d081884c.12",
                    "items": [
                        {
                            "rank": 2, "item_id": "s1", "score": 0.88, "distance": 0.12,
                            "title": "Green", "artist": "Bo", "genre": "jazz", "cold": False,
                            "playable": True,
                        }
                    ],
                    "notes": [],
                }
            ]
        }
    )  # fmt: skip

    list_id: str
    generation: str
    items: list[PlaylistItem]
    notes: list[str]


class FoundItem(BaseModel):
    """An item that a search has found."""

    item_id: str
    title: str
    artist: str
    album: str
    genre: str


class FoundItems(BaseModel):
    """What a search has found."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "list_id": "0240826234eaf4db", "generation": "9f86d081884c.12", "named": 1,
                    "items": [
                        {
                            "item_id": "s3", "title": "Blue", "artist": "Ana", "album": "Colours",
                            "genre": "jazz",
                        }
                    ],
                }
            ]
        }
    )  # fmt: skip

    list_id: str
    generation: str
    items: list[FoundItem]
    named: int = Field(description="How many of them, the first, are called so.")


class Item(FoundItem):
    """All that is told of an item."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "item_id": "s3", "title": "Blue", "artist": "Ana", "album": "Colours",
                    "genre": "jazz", "tags": {"mood": "calm"}, "cold": False, "listeners": 12,
                    "heard": True, "familiarity": 0.61, "scores": {"genre": {"jazz": 0.98}},
                    "playable": True, "generation": "9f86d081884c.12",
                }
            ]
        }
    )  # fmt: skip

    tags: dict[str, str]
    cold: bool = Field(description="Nobody has played it.")
    listeners: int
    heard: bool = Field(description="Whether the model knows its sound.")
    familiarity: float | None = Field(
        description="How much it sounds like what the model learned from, 0 to 1."
    )
    scores: dict[str, dict[str, float]] = Field(description="What it sounds like: predicted tags.")
    playable: bool = Field(description="Whether its recording may be listened to here.")
    generation: str


class NearSong(BaseModel):
    """A played item that is like the explained one."""

    item_id: str
    title: str
    artist: str
    cosine: float


class CommonValue(BaseModel):
    """A value that the item has in common with played items."""

    column: str
    value: str
    played: int


class Explained(BaseModel):
    """Why an item has its score for a user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "list_id": "2aab879bc911ad1a", "generation": "9f86d081884c.12",
                    "user_id": "ann", "item_id": "s3", "title": "Blue", "artist": "Ana",
                    "score": 0.82, "cold": False, "seen": False,
                    "shares": {"als": 0.4, "content": 0.6}, "n_played": 8,
                    "taste": [
                        {"item_id": "s5", "title": "Red", "artist": "Cy", "cosine": 0.99}
                    ],
                    "sound": [
                        {"item_id": "s5", "title": "Red", "artist": "Cy", "cosine": 0.93}
                    ],
                    "common": [{"column": "genre", "value": "jazz", "played": 6}],
                    "familiarity": 0.61, "text": "Blue by Ana for user ann: score 0.820",
                }
            ]
        }
    )  # fmt: skip

    list_id: str
    generation: str
    user_id: str | None
    item_id: str
    title: str
    artist: str
    score: float
    cold: bool
    seen: bool
    shares: dict[str, float]
    n_played: int
    taste: list[NearSong]
    sound: list[NearSong]
    common: list[CommonValue]
    familiarity: float | None
    text: str = Field(description="The same in words.")


class PlaysTaken(BaseModel):
    """What an array of plays has changed; it is on the disk."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "batch_id": "phone-7/2026-05-01T12:00", "plays": 1, "repeated": 0, "users": 1,
                    "new_users": 1, "items": 1, "warmed": 0, "generation": "9f86d081884c.13",
                }
            ]
        }
    )  # fmt: skip

    batch_id: str | None
    plays: int
    repeated: int = Field(description="Plays that were known and changed nothing.")
    users: int
    new_users: int
    items: int
    warmed: int = Field(description="Items that nobody had played before.")
    generation: str


class Onboarded(BaseModel):
    """A song that was taken in; it is on the disk and in lists."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "item_id": "n1", "predicted": "jazz", "probability": 0.98,
                    "familiarity": 0.61, "caution": "", "generation": "9f86d081884c.13",
                }
            ]
        }
    )  # fmt: skip

    item_id: str
    predicted: str | None = Field(description="What it sounds like.")
    probability: float | None
    familiarity: float | None
    caution: str = Field(description="Why it is recommended more carefully, or empty.")
    generation: str


class ModelFacts(BaseModel):
    """Facts of the model."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "generation": "9f86d081884c.12",
                    "now": {
                        "users": 400, "items": 192, "with_listeners": 180, "with_embedding": 192
                    },
                    "onboarded": 2, "changes": 12, "sources": ["als", "content"],
                    "blend": {
                        "warm": {"als": 0.6, "content": 0.4}, "cold": {"als": 0.4, "content": 0.6}
                    },
                    "hears": True, "embedding_size": 192, "columns": ["artist", "genre"],
                    "index": {"method": "exact"}, "limits": {"max_k": 1000}, "version": "0.1.0",
                }
            ]
        }
    )  # fmt: skip

    generation: str
    now: dict[str, int] = Field(description="Users, items, and of these with listeners and heard.")
    onboarded: int
    changes: int = Field(description="Changes since the fit.")
    sources: list[str]
    blend: dict[str, dict[str, float]]
    hears: bool = Field(description="Whether recordings can be onboarded.")
    embedding_size: int = Field(description="Numbers of an embedding; 0 where there are none.")
    columns: list[str] = Field(description="Columns that `where` can name.")
    index: dict[str, Any]
    limits: dict[str, float]
    version: str


class WrongField(BaseModel):
    """A field of a request that is wrong."""

    field: str
    detail: str
    place: str = Field(alias="in", description="path, query, header or body.")


class ProblemDetails(BaseModel):
    """What is wrong with a request (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:coldtune:problem:unknown-item",
                    "title": "Unknown item",
                    "status": 404,
                    "detail": "no item 's99' in the catalogue; did you mean 's9'?",
                    "item_id": "s99",
                    "request_id": "0e9f2c55d0a64d0db41b1f0b1c3d5a11",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    field: str | None = None
    item_id: str | None = None
    user_id: str | None = None
    file: str | None = None
    errors: list[WrongField] | None = None
