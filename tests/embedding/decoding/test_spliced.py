import io
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from embedding.decoding.spliced import SplicedFile

CONTENT = bytes(range(100))


@given(
    cuts=st.lists(
        st.one_of(st.binary(max_size=5), st.tuples(st.integers(0, 100), st.integers(0, 100)))
    ),
    start=st.integers(0, 50),
    size=st.integers(0, 300),
)
def test_is_its_pieces_one_after_the_other(cuts: list, start: int, size: int) -> None:
    pieces = [cut if isinstance(cut, bytes) else range(*cut) for cut in cuts]
    whole = b"".join(CONTENT[p.start : p.stop] if isinstance(p, range) else p for p in pieces)
    file = SplicedFile(io.BytesIO(CONTENT), pieces)
    assert file.seek(0, io.SEEK_END) == len(whole)
    assert file.seek(start) == start
    assert file.read(size) == whole[start : start + size]
    assert file.tell() == min(start + size, max(start, len(whole)))


def test_of_a_file_that_became_shorter() -> None:
    file = SplicedFile(io.BytesIO(CONTENT), [b"ab", range(90, 200)])
    assert file.read() == b"ab" + CONTENT[90:]


def test_closes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    stream = path.open("rb")
    with SplicedFile(stream, [range(2)]) as file:
        assert file.read() == b"\0\1"
    assert stream.closed
