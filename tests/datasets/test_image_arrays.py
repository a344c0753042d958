import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import DataError, DataWarning, InvalidArgumentError
from datasets.image_arrays import is_image_arrays, read_image_arrays, read_npz

IMAGES = np.arange(4 * 2 * 3, dtype=np.float32).reshape(4, 2, 3)
IDS = np.array(["s3", "s1", "s0", "s2"])
TABLE = {
    "clip": ["s0", "s1", "s2", "s3"],
    "genre": ["jazz", "rock", "", "jazz"],
    "artist": ["A", "B", "C", ""],
    "mood": ["sad", "glad", "sad", "glad"],
}


@pytest.fixture
def write(tmp_path):
    def write(table=None, **arrays):
        np.savez(tmp_path / "x.npz", **arrays)
        if table is not None:
            pd.DataFrame(table).to_csv(tmp_path / "t.csv", index=False)
        return tmp_path

    return write


def test_rows_are_joined_by_id(write):
    folder = write(TABLE, clip=IDS, pictures=IMAGES)
    arrays = read_image_arrays(folder)
    assert arrays.ids.tolist() == IDS.tolist()
    assert arrays.labels.tolist() == ["jazz", "rock", "jazz", ""]
    assert arrays.groups.tolist() == ["", "B", "A", "C"]
    np.testing.assert_array_equal(arrays.images, IMAGES)
    assert arrays.taken == {
        "images": "array 'pictures' [4, 2, 3] of x.npz",
        "ids": "'clip' of x.npz, which is 'clip' of t.csv",
        "labels": "'genre' of t.csv",
        "groups": "'artist' of t.csv",
    }
    assert is_image_arrays(folder)
    assert is_image_arrays(folder / "x.npz")
    (folder / "items.csv").touch()
    assert not is_image_arrays(folder)


def test_spellings_of_one_label_are_one(write):
    folder = write(TABLE | {"genre": ["jazz", "Rock", "rock ", "jazz"]}, clip=IDS, pictures=IMAGES)
    with pytest.warns(DataWarning, match="'rock' .1 rows. as 'Rock'"):
        arrays = read_image_arrays(folder)
    assert arrays.labels.tolist() == ["jazz", "Rock", "jazz", "Rock"]


def test_names_given_override_what_is_found(write):
    folder = write(TABLE, clip=IDS, pictures=IMAGES, others=IMAGES + 1)
    arrays = read_image_arrays(folder, images="others", labels="mood", groups="genre", ids="clip")
    assert arrays.images[0, 0, 0] == 1
    assert arrays.labels.tolist() == ["glad", "glad", "sad", "sad"]
    assert arrays.groups.tolist() == ["jazz", "rock", "jazz", ""]
    assert read_image_arrays(folder, images="others", tag="mood").labels.tolist()[0] == "glad"


def test_without_ids_rows_go_by_their_order(write):
    without = {name: TABLE[name] for name in ("genre", "artist")}
    arrays = read_image_arrays(write(without, pictures=IMAGES))
    assert arrays.labels.tolist() == TABLE["genre"]
    assert arrays.ids.tolist() == ["row 1", "row 2", "row 3", "row 4"]
    # Labels in the file are the same as in the table, but say nothing of the order.
    arrays = read_image_arrays(write(TABLE, pictures=IMAGES, genre=np.array(list("jrjj"))))
    assert arrays.labels.tolist() == list("jrjj")
    assert arrays.groups.tolist() == TABLE["artist"]


def test_everything_in_the_file_and_no_artist(write):
    arrays = read_image_arrays(write(pictures=IMAGES, label=np.array([1, 2, 1, 2])))
    assert arrays.labels.tolist() == ["1", "2", "1", "2"]
    assert arrays.groups is None


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ({"clip": IDS}, {}, r"expected one array .* --images out of: clip \[4\]"),
        ({"a": IMAGES, "b": IMAGES}, {}, "expected one array"),
        ({"a": IMAGES}, {"images": "z"}, r"no array 'z'; there are: a \[4, 2, 3\]"),
        ({"a": np.zeros((0, 2, 2))}, {}, r"not float64 \[0, 2, 2\]"),
        ({"a": np.full((4, 2, 2), "x")}, {}, "must be numbers"),
        ({"a": IMAGES, "clip": IDS[:3]}, {"ids": "clip"}, r"'clip' has the shape \[3\]"),
        ({"a": IMAGES, "clip": IDS}, {"ids": "z"}, "no array or column 'z'"),
        ({"a": IMAGES, "clip": np.array(["s1", "s2", "s3", "q9"])}, {}, "such as 'q9'"),
        ({"a": IMAGES, "clip": np.array(list("wxyz"))}, {}, "t.csv: no column has the ids"),
        ({"a": IMAGES[:3]}, {}, "t.csv has 4 rows and x.npz 3 pictures"),
        ({"a": IMAGES, "clip": IDS}, {"tag": "era"}, "no column 'era'; name that of the labels"),
        ({"a": IMAGES, "clip": IDS}, {"labels": "z"}, "no column 'z' for labels"),
        ({"a": IMAGES, "clip": IDS}, {"groups": "z"}, "no column 'z' for groups"),
    ],
)
def test_errors(write, content, options, message):
    folder = write(TABLE, **content)
    with pytest.raises((DataError, InvalidArgumentError), match=message):
        read_image_arrays(folder, **options)


def test_values_that_are_no_numbers_and_ids_that_come_twice(write):
    broken = IMAGES.copy()
    broken[2, 1, 1] = np.nan
    with pytest.raises(DataError, match="'a', row 2: contains NaN or infinite"):
        read_image_arrays(write(TABLE, a=broken, clip=IDS))
    twice = {"clip": [*TABLE["clip"], "s1"], "genre": list("abcde"), "artist": list("abcde")}
    with pytest.raises(DataError, match=r"t\.csv: column 'clip' has 's1' more than once"):
        read_image_arrays(write(twice, a=IMAGES, clip=IDS))


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match=r"expected one \.npz file, found none"):
        read_image_arrays(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_image_arrays(tmp_path / "x.npz")


def test_real_images_are_taken_without_any_option(gtzan_logmel):
    arrays = read_image_arrays(gtzan_logmel)
    assert arrays.images.shape == (632, 128, 387)
    assert len(set(arrays.labels)) == 10
    first = arrays.ids.tolist().index("blues.00000")
    assert (arrays.labels[first], arrays.groups[first]) == ("blues", "84")


@pytest.mark.parametrize(
    "values",
    [[], ["x"], ["é" * 300, "b", ""], ["a", "b", "a"] * 1500],
    ids=["none", "one", "long", "repeated"],
)
def test_text_saved_as_objects_is_read_without_unpickling(tmp_path, values):
    path = tmp_path / "a.npz"
    np.savez(path, names=np.array(values, dtype=object), numbers=np.arange(3))
    arrays = read_npz(path)
    assert arrays["names"].tolist() == values
    assert arrays["numbers"].tolist() == [0, 1, 2]


@pytest.mark.slow
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_text(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    np.savez_compressed(path, names=np.array(values, dtype=object))
    assert read_npz(path)["names"].tolist() == values


@pytest.mark.parametrize(
    "values", [["a", None], [1, 2], [{}], [["a"], ["b"]], [b"a", "b"]], ids=str
)
def test_other_objects_are_refused_by_name(tmp_path, values):
    path = tmp_path / "a.npz"
    array = np.empty(len(values), dtype=object)
    array[:] = values
    np.savez(path, names=array)
    with pytest.raises(DataError, match=r"a\.npz: array 'names' holds Python objects"):
        read_npz(path)


def test_nothing_in_the_file_is_executed(tmp_path):
    marker = tmp_path / "executed"

    class Trap:
        def __reduce__(self):
            return (marker.write_text, ("no",))

    path = tmp_path / "a.npz"
    np.savez(path, names=np.array(["a", Trap()], dtype=object))
    with pytest.raises(DataError):
        read_npz(path)
    assert not marker.exists()


def _archive(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)


def test_damaged_files(tmp_path):
    whole = io.BytesIO()
    np.save(whole, np.arange(1000))
    texts = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        texts, {"descr": "|O", "fortran_order": False, "shape": (1,)}
    )
    for number, content in enumerate(
        (b"", b"nonsense", whole.getvalue()[:500], texts.getvalue(), texts.getvalue() + b"h\xffq.")
    ):
        path = tmp_path / f"{number}.npz"
        _archive(path, content)
        with pytest.raises(DataError, match=path.name):
            read_npz(path)
    (tmp_path / "no.npz").write_bytes(pickle.dumps([1]))
    with pytest.raises(DataError, match=r"not an \.npz file"):
        read_npz(tmp_path / "no.npz")
    with pytest.raises(DataError, match="cannot be read"):
        read_npz(tmp_path / "absent.npz")


@pytest.mark.parametrize(("place", "value"), [(6, 0x01), (8, 99), (4, 250)])
def test_an_archive_that_is_encrypted_or_packed_otherwise(
    tmp_path: Path, place: int, value: int
) -> None:
    """Flags, method and version of the first member, in its own header and in the directory."""
    path = tmp_path / "a.npz"
    np.savez(path, images=np.zeros((2, 1, 2, 2), np.float32))
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[place] = value
    content[central + place + 2] = value
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz is not an \.npz file that can be read: "):
        read_npz(path)
