from contextlib import suppress

import numpy as np
import pytest

from datasets.errors import DataError
from embedding.encoders.musicnn.tensor_bundle import crc32c, read_tensor_bundle
from tests.helpers.tensor_bundles import bundle, entry, number, table

TENSORS = {
    "conv2d/bias": np.arange(5, dtype=np.float32),
    "conv2d/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "conv2d_1/kernel": np.linspace(0, 1, 300).reshape(300, 1),
    "counts": np.array([[1, -2], [2**40, 0]]),
    "flags": np.array([True, False]),
    "step": np.array(7, dtype=np.int32),
    "none": np.empty((0, 3), np.float32),
}


def test_tensors_come_back_as_they_were_written():
    found = read_tensor_bundle(*bundle(TENSORS))
    assert found.keys() == TENSORS.keys()
    for name, values in TENSORS.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_only_the_tensors_that_are_named_are_read():
    index, data = bundle(TENSORS)
    assert list(read_tensor_bundle(index, data, ["step", "counts"])) == ["step", "counts"]
    with pytest.raises(DataError, match="no tensor 'conv2d_9/bias'"):
        read_tensor_bundle(index, data, ["conv2d_9/bias"])


@pytest.mark.parametrize(
    ("content", "crc"),
    [
        # RFC 3720, appendix B.4; and the check value of CRC catalogues.
        (b"", 0),
        (b"a", 0xC1D04330),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_is_that_of_the_standard(content, crc):
    assert crc32c(content) == crc


def test_every_changed_byte_of_the_data_is_found():
    tensors = {"kernel": np.arange(6, dtype=np.float32)}
    index, data = bundle(tensors)
    for place in range(len(data)):
        with pytest.raises(DataError, match="'kernel' is damaged"):
            read_tensor_bundle(index, data[:place] + b"\x55" + data[place + 1 :])


def test_a_damaged_index_is_an_error_and_never_another_tensor():
    tensors = {name: TENSORS[name] for name in ("conv2d/bias", "step")}
    index, data = bundle(tensors)
    for place in range(len(index)):
        for content in (
            index[:place],
            index[:place] + bytes([index[place] ^ 0xFF]) + index[place + 1 :],
        ):
            # No error: the footer's padding, and the place of the meta data, which are not read.
            with suppress(DataError):
                found = read_tensor_bundle(content, data)
                assert found.keys() == tensors.keys()
                assert all((found[name] == tensors[name]).all() for name in tensors)


@pytest.mark.parametrize(
    ("index", "data", "message"),
    [
        (b"", b"", "not that of a TensorFlow checkpoint"),
        (b"PK\x03\x04" * 100, b"", "not that of a TensorFlow checkpoint"),
        (bundle(TENSORS, shards=2)[0], b"", "several files of data"),
        (bundle(TENSORS)[0], bundle(TENSORS)[1][:-4], "cut short: tensor 'step'"),
        (table({b"": b"", b"x": b""}, compression=1), b"", "compressed, which is not read"),
        (table({b"": number(2, 1)}), b"", "big-endian"),
        (table({b"x": entry(np.zeros(3), 0, dtype=7)}), bytes(24), "'x' is of a kind"),
        (table({b"x": entry(np.zeros(3), 0, size=25)}), bytes(24), "'x' has 25 bytes, not 24"),
    ],
)
def test_what_cannot_be_read_is_an_error(index, data, message):
    with pytest.raises(DataError, match=message):
        read_tensor_bundle(index, data)
