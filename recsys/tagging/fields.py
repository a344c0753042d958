"""The fields of audio files that the tags of an encoder are written into.

Genres and moods have usual fields. Every other tag gets a field of its own name, which players show
among the user-defined ones.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.database.heard import NamedValues

_FACTS = frozenset({
    "TITLE", "ARTIST", "ARTISTS", "ALBUM", "ALBUMARTIST", "ALBUM ARTIST", "AUTHOR", "BAND",
    "BARCODE", "BPM", "COMMENT", "COMPOSER", "CONDUCTOR", "COPYRIGHT", "DATE", "DESCRIPTION",
    "DISC", "DISCNUMBER", "ENCODER", "GENRE", "INITIALKEY", "ISRC", "KEY", "LABEL", "LANGUAGE",
    "LOCATION", "LYRICIST", "LYRICS", "MOOD", "ORGANIZATION", "ORIGINALDATE", "PERFORMER",
    "PRODUCER", "PUBLISHER", "RATING", "REMIXER", "TEMPO", "TRACK", "TRACKNUMBER", "VERSION",
    "WORK", "YEAR",
})  # fmt: skip
"""Names that have another meaning in files, mostly that of a fact that nobody can hear."""


@dataclass(frozen=True)
class TagField:
    """A field of audio files, by the name that it has in Vorbis comments.

    Examples:
        >>> TagField("MOOD").id3, TagField("MOOD").mp4, TagField("ERA").id3
        ('TMOO', '----:com.apple.iTunes:MOOD', 'TXXX:ERA')
    """

    name: str

    @property
    def id3(self) -> str:
        """Its frame in ID3."""
        return {"GENRE": "TCON", "MOOD": "TMOO"}.get(self.name, f"TXXX:{self.name}")

    @property
    def mp4(self) -> str:
        """Its atom in MP4."""
        return "©gen" if self.name == "GENRE" else f"----:com.apple.iTunes:{self.name}"


def fields_of(named: Sequence[NamedValues]) -> dict[TagField, list[str]]:
    """Return the field of each tag with its values, on one line each and every one once.

    A tag whose name means something else in files, as "year", is written as HEARD_YEAR.

    Examples:
        >>> heard = [NamedValues("genre", "style", ["bebop"]), NamedValues("other", "Ära", ["80s"])]
        >>> {field.name: values for field, values in fields_of(heard).items()}
        {'GENRE': ['bebop'], 'ARA': ['80s']}
    """
    found: dict[TagField, list[str]] = {}
    for one in named:
        name = _own_name(one.tag) if one.kind == "other" else one.kind.upper()
        field, number = TagField(name), 2
        while field in found:
            field, number = TagField(f"{name}_{number}"), number + 1
        values = [" ".join(value.replace("\0", " ").split()) for value in one.values]
        if values := list(dict.fromkeys(filter(None, values))):
            found[field] = values
    return found


def _own_name(tag: str) -> str:
    """A name that all kinds of tags can have: ASCII, in capitals, without an equals sign."""
    plain = unicodedata.normalize("NFKD", tag).encode("ascii", "ignore").decode().upper()
    name = re.sub(r"[^A-Z0-9 _-]+", "_", plain).strip(" _") or "TAG"
    return f"HEARD_{name}" if name in _FACTS else name
