import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from embedding.architecture import Convolution, FullyConnected, Normalisation, Pooling
from embedding.notation import parse

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
image_layers = st.one_of(
    st.builds(Convolution, numbers, numbers, numbers), st.builds(Normalisation), st.builds(Pooling)
)


@given(st.lists(image_layers, max_size=8), st.lists(st.builds(FullyConnected, numbers), min_size=1))
def test_printing_and_parsing_are_each_others_inverse(first: list, last: list) -> None:
    text = "I" + "".join(map(str, [*first, *last])) + "O"
    architecture = parse(text)
    assert architecture.layers == (*first, *last)
    assert str(architecture) == text


@pytest.mark.parametrize(
    ("text", "character", "expected"),
    [
        ("", 1, "'I'"),
        ("C(1,5,64)F(10)O", 1, "'I'"),
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
