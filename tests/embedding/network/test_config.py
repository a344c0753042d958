import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import InvalidArgumentError
from embedding.audio.config import SnippetConfig
from embedding.hyperimage.config import Band, HyperImageConfig
from embedding.network.config import EncoderConfig


def test_default_bands_fill_128_rows_in_the_patents_order() -> None:
    config = HyperImageConfig()
    assert [band.transform for band in config.layout] == [
        "chroma",
        "tempogram",
        "mel",
        "mfcc",
        "contrast",
        "tonnetz",
    ]
    assert config.band_rows() == (12, 19, 64, 20, 7, 6)


def test_rows_are_shared_out_when_they_do_not_add_up_to_the_height() -> None:
    layout = (Band(transform="mel", rows=3), Band(transform="chroma", rows=1))
    # 8 rows: one each, and the other 6 by 3 : 1 is 4.5 and 1.5; of equal remainders the first.
    assert HyperImageConfig(height=8, layout=layout).band_rows() == (6, 2)
    assert HyperImageConfig(height=16, layout=layout).band_rows() == (12, 4)


@given(
    height=st.integers(8, 600),
    rows=st.lists(st.integers(1, 300), min_size=1, max_size=8),
)
def test_bands_always_fill_the_height(height: int, rows: list[int]) -> None:
    layout = tuple(Band(transform="mel", rows=n) for n in rows)
    shared = HyperImageConfig(height=height, layout=layout).band_rows()
    assert sum(shared) == height
    assert min(shared) >= 1


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (lambda: SnippetConfig(seconds=0), "seconds"),
        (lambda: SnippetConfig(count=0), "count"),
        (lambda: SnippetConfig(position="centre"), "position"),
        (lambda: HyperImageConfig(preset="unknown"), "preset"),
        (lambda: HyperImageConfig(n_fft=512, hop_length=1024), "hop_length"),
        (lambda: HyperImageConfig(height=8, layout=[Band(transform="mel", rows=1)] * 9), "height"),
        (lambda: EncoderConfig(momentum=1.0), "momentum"),
        (lambda: EncoderConfig(learning_rate=0), "learning_rate"),
        (lambda: EncoderConfig(snippet={"seconds": -1}), "seconds"),
    ],
)
def test_a_setting_out_of_range_is_named(settings, field: str) -> None:
    with pytest.raises(InvalidArgumentError, match=field):
        settings()


def test_settings_survive_json_and_have_a_digest() -> None:
    config = EncoderConfig(snippet=SnippetConfig(count=3), seed=7)
    again = EncoderConfig.from_json(config.model_dump(mode="json"))
    assert again == config
    assert again.digest() == config.digest() != EncoderConfig().digest()


def test_settings_of_several_networks_are_read_if_there_is_one() -> None:
    saved = EncoderConfig(seed=7).model_dump(mode="json")
    assert EncoderConfig.from_json({**saved, "members": 1}) == EncoderConfig(seed=7)
    with pytest.raises(InvalidArgumentError, match="members: 3 networks side by side"):
        EncoderConfig.from_json({**saved, "members": 3})
