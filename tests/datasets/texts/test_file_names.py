"""Names of any bytes become text that can be stored, and the same name again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.texts.file_names import name_as_text, name_from_text


def from_bytes(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a.mp3", "a.mp3"),
        ("日本 – é.mp3".encode(), "日本 – é.mp3"),
        (b"caf\xe9.wav", r"caf\xe9.wav"),
        (rb"caf\xe9.wav", r"caf\x5cxe9.wav"),  # these characters, and not the byte
        (rb"a\b.wav", r"a\b.wav"),
        (b"a\\\xff", r"a\x5c\xff"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),  # a surrogate, which is not UTF-8
    ],
)
def test_the_text_of_a_name(raw: bytes, text: str) -> None:
    assert name_as_text(from_bytes(raw)) == text


@given(st.lists(st.sampled_from([b"\\", b"x", b"5c", b"e9", b"\xe9", "é".encode(), b"a"])))
def test_every_name_comes_back(parts: list[bytes]) -> None:
    name = from_bytes(b"".join(parts))
    name_as_text(name).encode()
    assert name_from_text(name_as_text(name)) == name
