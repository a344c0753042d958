import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from embedding.network.architecture import (
    Architecture,
    BatchNormalisation,
    Convolution,
    Dropout,
    FullyConnected,
    GlobalPooling,
    LayerReport,
    Normalisation,
    Pooling,
    parse,
)
from embedding.network.layers import SongNetwork

PATENT = "IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O"


def test_the_patents_network() -> None:
    architecture = parse(PATENT)
    assert architecture.layers == (
        Convolution(5, 15, 64),
        Normalisation(),
        Pooling(),
        Convolution(1, 5, 64),
        Normalisation(),
        Pooling(),
        FullyConnected(384),
        FullyConnected(192),
    )
    assert architecture.dimension == 192


def test_output_sizes_follow_the_formula() -> None:
    # (128 - 15 + 2 * 7) / 5 + 1 = 26; (26 - 3 + 2) / 2 + 1 = 13; (13 - 5 + 4) / 1 + 1 = 13; then 7.
    assert parse(PATENT).shapes(1, 128, 128) == [
        (64, 26, 26),
        (64, 26, 26),
        (64, 13, 13),
        (64, 13, 13),
        (64, 13, 13),
        (64, 7, 7),
        (384,),
        (192,),
    ]
    # 65 columns: (65 - 15 + 14) / 5 + 1 = 13 (rounded down), 7, 7, 4.
    assert parse(PATENT).shapes(1, 128, 65)[5] == (64, 7, 4)


numbers = st.integers(1, 1_000_000)
from_zero = st.none() | st.integers(0, 1_000_000)
anywhere = st.one_of(
    st.builds(BatchNormalisation),
    st.builds(Dropout, st.integers(1, 99)),
    st.builds(FullyConnected, numbers),
)


@st.composite
def poolings(draw: st.DrawFn) -> Pooling:
    field, columns = draw(numbers), draw(st.none() | numbers)
    padding = draw(st.none() | st.integers(0, min(field, columns or field) // 2))
    kind, stride = draw(st.sampled_from("PAN")), draw(numbers)
    return Pooling(kind, stride, field, padding, draw(st.none() | numbers), columns)


on_images = st.one_of(
    st.builds(Convolution, numbers, numbers, numbers, numbers, from_zero),
    st.builds(Normalisation),
    st.builds(BatchNormalisation),
    st.builds(Dropout, st.integers(1, 99)),
    poolings(),
)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    layers = draw(st.lists(on_images, max_size=8))
    if draw(st.booleans()):
        layers.append(GlobalPooling())
    layers.append(FullyConnected(draw(numbers)))
    return Architecture((*layers, *draw(st.lists(anywhere, max_size=4))))


@pytest.mark.slow
@given(architectures())
def test_printing_and_parsing_are_each_others_inverse(architecture: Architecture) -> None:
    assert parse(str(architecture)) == architecture


@given(st.text("ICPLANBGDFO(),xp0123456789", max_size=30))
def test_any_text_is_read_or_refused_at_a_character(text: str) -> None:
    try:
        architecture = parse(text)
    except InvalidArgumentError as error:
        message = str(error)
        architecture = None
    if architecture is None:
        assert f"architecture {text!r}, character " in message
    else:
        assert parse(str(architecture)) == architecture


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        # (20 - 5 + 0) / 1 + 1 = 16: no padding; a span of (3 - 1) * 2 + 1 = 5 rows, no padding
        ("IC(1,5,4,p0)F(2)O", 20, 16),
        ("IC(1,3,4,x2,p0)F(2)O", 20, 16),
        # padded by 2, half of the span, the size stays
        ("IC(1,3,4,x2)F(2)O", 20, 20),
        # (20 - 3 + 2) / 2 + 1 = 10; (20 - 2 + 0) / 2 + 1 = 10; (20 - 4 + 2 * 2) / 3 + 1 = 7
        ("IAF(2)O", 20, 10),
        ("IN(2,2)F(2)O", 20, 10),
        ("IP(3,4,p2)F(2)O", 20, 7),
    ],
)
def test_sizes_by_hand_and_in_the_network(text: str, size: int, expected: int) -> None:
    shape = parse(text).shapes(3, size, size)[0]
    assert shape[1:] == (expected, expected)
    network = SongNetwork(parse(text), (3, size, size), [2])
    assert network.trunk[0](torch.zeros(1, 3, size, size)).shape[2:] == (expected, expected)


def test_a_pooling_of_rows_alone() -> None:
    # Rows (20 - 2) / 2 + 1 = 10, columns (20 - 1) / 1 + 1 = 20; (20 - 3 + 2) / 2 + 1 = 10 and
    # (20 - 5 + 4) / 4 + 1 = 5.
    for text, expected in (("IA(2x1,2x1)F(2)O", (10, 20)), ("IN(2x4,3x5)F(2)O", (10, 5))):
        assert parse(text).shapes(3, 20, 20)[0] == (3, *expected)
        network = SongNetwork(parse(text), (3, 20, 20), [2])
        assert network.trunk[0](torch.zeros(1, 3, 20, 20)).shape[2:] == expected


def test_parameters_and_multiply_adds_by_hand() -> None:
    network = "IC(2,3,4)BLP(2,2)GD(10)F(5)BO"
    report = parse(network).report(1, 8, 8, outputs=3)
    assert [row.layer for row in report] == [
        "C(2,3,4)",
        "B",
        "L",
        "P(2,2)",
        "G",
        "D(10)",
        "F(5)",
        "B",
        "O",
    ]
    # 4 maps of 4 x 4 by fields of 9: 36 weights and 4 biases, 36 * 16 products; G: twice 4.
    assert report[0] == LayerReport("C(2,3,4)", (4, 4, 4), 40, 576)
    assert [row.shape for row in report[1:]] == [
        (4, 4, 4),
        (4, 4, 4),
        (4, 2, 2),
        (8,),
        (8,),
        (5,),
        (5,),
        (3,),
    ]
    assert [row.parameters for row in report[1:]] == [8, 0, 0, 0, 0, 45, 10, 18]
    assert [row.multiply_adds for row in report[1:]] == [0, 0, 0, 0, 0, 40, 0, 15]
    built = SongNetwork(parse(network), (1, 8, 8), [3])
    assert sum(p.numel() for p in built.parameters()) == sum(row.parameters for row in report)


@pytest.mark.parametrize(
    ("text", "character", "expected"),
    [
        ("", 1, "'I'"),
        ("C(1,5,64)F(10)O", 1, "'I'"),
        ("IC(1,5,8,x1)F(1)O", 11, "the dilation, a whole number from 2"),
        ("IC(1,5,8,p)F(1)O", 11, "the padding, a whole number from 0"),
        ("IC(1,5,8,q2)F(1)O", 9, "',x' or ',p'"),
        ("IP(2,3,p2)F(1)O", 9, "at most half the field, 1"),
        ("IP(2x,3)F(1)O", 6, "columns of the stride"),
        ("IP(2,4x2,p2)F(1)O", 11, "at most half the field, 1"),
        ("IGC(1,3,4)F(1)O", 3, "no image is left"),
        ("IGO", 3, "an F"),
        ("ID(100)F(1)O", 4, "per cent of a dropout, from 1 to 99"),
        ("IC(5,15)PF(1)O", 8, "',' and the depth"),
        ("IC(5,15,64PF(1)O", 11, r"'\)' after the depth"),
        ("IC5,15,64)F(1)O", 3, r"'\('"),
        ("IC(0,15,64)F(1)O", 4, "stride"),
        ("IC(5,-1,64)F(1)O", 6, "receptive field"),
        ("IC(05,1,64)F(1)O", 4, "stride"),
        ("IF(99999999)O", 4, "units"),
        ("IF(²)O", 4, "units"),
        ("IX(1)O", 2, "one of C, L, P"),
        ("IF(10)PO", 7, "no image"),
        ("IC(1,5,64)O", 11, "embedding"),
        ("IF(10)", 7, "one of"),
        ("IF(10)O ", 8, "nothing after"),
        ("I F(10)O", 2, "one of"),
    ],
)
def test_an_error_points_at_the_character(text: str, character: int, expected: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"character {character}: .*{expected}"):
        parse(text)


def test_an_image_too_small_names_the_layer() -> None:
    # 20 x 20 becomes 4 x 4, pooled 2 x 2: less than the 3 that half a 5 x 5 field needs.
    with pytest.raises(InvalidArgumentError, match=r"layer 4, C\(1,5,64\), receives 2 x 2"):
        parse(PATENT).shapes(1, 20, 20)
    with pytest.raises(InvalidArgumentError, match=r"too small.*layer 1"):
        parse(PATENT).shapes(1, 128, 7)


@given(st.integers(1, 200), st.integers(1, 200))
def test_sizes_are_positive_or_an_error(height: int, width: int) -> None:
    try:
        shapes = parse(PATENT).shapes(1, height, width)
    except InvalidArgumentError as error:
        assert "too small" in str(error)  # noqa: PT017
    else:
        assert min(min(shape) for shape in shapes) >= 1
