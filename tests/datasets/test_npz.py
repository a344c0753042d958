import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import DataError
from datasets.image_arrays import read_npz


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
