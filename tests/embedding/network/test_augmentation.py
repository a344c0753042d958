import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding.network.augmentation import covering_windows, mixup_partners, training_batch
from embedding.network.config import AugmentationConfig, EncoderConfig

ROWS = np.array([1, 3])


def images(width: int = 40) -> np.ndarray:
    """Each pixel tells its image, row and column: 10000 i + 100 r + c."""
    i, r, c = np.meshgrid(range(5), range(10), range(width), indexing="ij")
    return (10000 * i + 100 * r + c)[:, None].astype(np.float32)


def config(window: int | None = None, **changes: float) -> EncoderConfig:
    return EncoderConfig(window=window, augmentation=AugmentationConfig(**changes))


def test_without_augmentation_images_stay_as_they_are() -> None:
    given = images()
    np.testing.assert_array_equal(training_batch(given, ROWS, config(), 0), given[ROWS])
    np.testing.assert_array_equal(training_batch(given, ROWS, config(64), 0), given[ROWS])


def test_a_random_window_is_a_part_of_the_image() -> None:
    given, starts = images(), set()
    for epoch in range(50):
        batch = training_batch(given, ROWS, config(16), epoch)
        assert batch.shape == (2, 1, 10, 16)
        for row, image in zip(ROWS, batch, strict=True):
            start = int(image[0, 0, 0]) % 100
            np.testing.assert_array_equal(image, given[row, :, :, start : start + 16])
            starts.add(start)
    assert min(starts) < 4
    assert max(starts) > 20


def test_choices_depend_on_seed_epoch_and_image_alone() -> None:
    given, settings = images(), config(16, time_mask=0.3, row_mask=0.3, equaliser=0.5)
    both = training_batch(given, ROWS, settings, 4)
    np.testing.assert_array_equal(both[1:], training_batch(given, ROWS[1:], settings, 4))
    assert (both != training_batch(given, ROWS, settings, 5)).any()
    assert (both != training_batch(given, ROWS, settings.replace(seed=1), 4)).any()


def test_masks_blank_whole_columns_and_rows_up_to_their_share() -> None:
    given = images() + 1
    widest = tallest = 0
    for epoch in range(60):
        (image,) = training_batch(given, ROWS[:1], config(time_mask=0.25, row_mask=0.3), epoch)
        blank = image[0] == np.float32(given[1].mean())
        widest = max(widest, int(blank.all(axis=0).sum()))
        tallest = max(tallest, int(blank.all(axis=1).sum()))
        kept = ~blank
        np.testing.assert_array_equal(image[0][kept], given[1, 0][kept])
    assert (widest, tallest) == (10, 3)  # a quarter of 40 columns, three tenths of 10 rows


def test_a_shift_moves_rows_and_repeats_the_edge() -> None:
    given, shifts = images(), set()
    for epoch in range(100):
        (image,) = training_batch(given, ROWS[:1], config(row_shift=0.3), epoch)
        rows = (image[0, :, 0] - given[1, 0, 0, 0]) / 100
        shift = int(rows[5]) - 5
        np.testing.assert_array_equal(rows, np.clip(np.arange(10) + shift, 0, 9))
        shifts.add(shift)
    assert shifts == set(range(-3, 4))


def test_a_stretched_window_shows_more_or_less_time() -> None:
    given, spans = images(), set()
    for epoch in range(60):
        (image,) = training_batch(given, ROWS[:1], config(20, stretch=0.25), epoch)
        columns = image[0, 0] - given[1, 0, 0, 0]
        assert (np.diff(columns) >= 0).all()
        spans.add(int(columns[-1] - columns[0]) + 1)
    # 20 columns e^-.25 to e^.25: from 16 to 26.
    assert min(spans) in (16, 17)
    assert max(spans) in (25, 26)


def test_the_equaliser_shifts_rows_and_leaves_columns_alike() -> None:
    given = images()
    (image,) = training_batch(given, ROWS[:1], config(equaliser=0.5), 0)
    shift = image - given[1]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :, :1], shift.shape), atol=2e-3)
    assert 0.01 < np.abs(shift).max() <= 0.502


def test_level_and_contrast_of_the_whole_image_change() -> None:
    given, levels, factors = np.float32([0.2, 0.4, 0.9]).reshape(1, 1, 3, 1), [], []
    pixels = np.broadcast_to(given, (1, 1, 3, 4))
    for epoch in range(100):
        (image,) = training_batch(pixels, ROWS[:1] * 0, config(level=0.3), epoch)
        change = image - pixels[0]
        np.testing.assert_allclose(change, change[0, 0, 0], atol=1e-6)
        levels.append(float(change[0, 0, 0]))
        (image,) = training_batch(pixels, ROWS[:1] * 0, config(contrast=0.5), epoch)
        # The mean, .5, stays; the differences from it, -.3, -.1 and .4, are multiplied.
        factor = float(image[0, 2, 0] - 0.5) / 0.4
        wanted = 0.5 + factor * np.array([-0.3, -0.1, 0.4])
        np.testing.assert_allclose(image[0, :, 0], wanted, atol=1e-6)
        factors.append(factor)
    assert -0.3 <= min(levels) < -0.25
    assert 0.25 < max(levels) <= 0.3
    assert np.exp(-0.5) - 1e-5 <= min(factors) < 0.65
    assert 1.55 < max(factors) <= np.exp(0.5) + 1e-5


def test_noise_differs_from_pixel_to_pixel() -> None:
    given = np.zeros((1, 1, 60, 60), dtype=np.float32)
    (image,) = training_batch(given, ROWS[:1] * 0, config(noise=0.2), 0)
    assert image.dtype == np.float32
    assert image.std() == pytest.approx(0.2, rel=0.1)
    assert abs(np.corrcoef(image[0, 1:].ravel(), image[0, :-1].ravel())[0, 1]) < 0.1


def test_mixup_shares_and_partners() -> None:
    share, others = mixup_partners(8, config(mixup=0.4), 3, 2)
    assert 0 <= share <= 1
    assert sorted(others) == list(range(8))
    assert mixup_partners(8, config(mixup=0.4), 3, 2)[0] == share
    assert mixup_partners(8, config(mixup=0.4), 3, 3)[0] != share
    assert mixup_partners(8, config(), 3, 2)[0] == 1


def test_windows_by_hand() -> None:
    # 387 columns by 65: (387 - 65) / 32.5 = 9.9, so eleven windows 32.2 columns apart.
    width, starts = covering_windows(np.zeros((1, 1, 2, 387)), 65)
    assert width == 65
    assert starts == [0, 32, 64, 97, 129, 161, 193, 225, 258, 290, 322]
    assert covering_windows(np.zeros((1, 1, 2, 50)), 65) == (50, [0])
    assert covering_windows(np.zeros((1, 1, 2, 50)), None) == (50, [0])


@given(st.integers(8, 300), st.integers(8, 300))
def test_windows_cover_every_column_and_overlap_by_half(total: int, window: int) -> None:
    width, starts = covering_windows(np.zeros((1, 1, 1, total)), window)
    assert starts[0] == 0
    assert starts[-1] + width == total
    assert all(0 < step <= width / 2 + 1 for step in np.diff(starts))


@pytest.mark.parametrize("changes", [{"time_mask": 1.0}, {"mixup": -1}, {"masks": 0}])
def test_settings_out_of_range(changes: dict) -> None:
    from datasets.errors import InvalidArgumentError

    with pytest.raises(InvalidArgumentError):
        AugmentationConfig(**changes)
