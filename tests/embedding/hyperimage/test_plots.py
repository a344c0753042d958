"""Pictures: units, ticks where they belong, nothing clipped, every part alone."""

import io
import itertools
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure
from matplotlib.text import Text

from datasets.errors import AudioError, InvalidArgumentError
from embedding.audio.config import SnippetConfig
from embedding.hyperimage.panels import CLOSEST, row_ticks
from embedding.hyperimage.plots import PARTS, PICTURED, draw, draw_sheet, load_plot_input
from embedding.transforms.table import PITCH_CLASSES, TRANSFORMS, Axis
from recsys import cli

RATE = 22050


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds: A4 on the left, a beat of 120 a minute on the right."""
    t = np.arange(4 * RATE) / RATE
    left = 0.5 * np.sin(2 * np.pi * 440 * t)
    clicks = 0.25 * np.exp(-60 * np.modf(2 * t)[0]) * np.sin(2 * np.pi * 3000 * t)
    path = tmp_path_factory.mktemp("sound") / "A $4 of_two.wav"
    soundfile.write(path, np.stack([left, clicks], axis=1), RATE, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def whole(stereo: Path) -> Figure:
    """The sheet of everything."""
    figure = draw_sheet(load_plot_input(stereo, SnippetConfig(seconds=2, position="at", at=0.5)))
    figure.canvas.draw()
    return figure


def panels(figure: Figure) -> dict[str, object]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


class TestSheet:
    @pytest.mark.slow
    def test_has_every_transform_and_both_channels_and_both_hyperimages(
        self, whole: Figure
    ) -> None:
        titles = [TRANSFORMS[name].title for name in PICTURED]
        assert len(titles) == len(TRANSFORMS) - 2
        assert list(panels(whole)) == [
            "Waveform, left",
            "Waveform, right",
            *titles,
            "Hyper-image “stacked”, 128 × 128",
            "Hyper-image “waveform”, 128 × 128",
        ]

    @pytest.mark.slow
    def test_says_what_is_drawn(self, whole: Figure) -> None:
        assert whole.get_suptitle() == (
            "A $4 of_two.wav   (2 s from 0.5 s; 22,050 samples a second)"
        )

    def test_time_is_that_of_the_recording(self, whole: Figure) -> None:
        for title, axes in panels(whole).items():
            assert axes.get_xlim() == pytest.approx((0.5, 2.5)), title

    def test_every_axis_and_colour_bar_has_a_label(self, whole: Figure) -> None:
        for title, axes in panels(whole).items():
            if title != "Waveform, left":
                assert axes.get_xlabel() == "time in the recording (s)"
            if "Hyper-image" not in title:
                assert axes.get_ylabel(), title
        bars = [axes for axes in whole.axes if axes.get_label() == "<colorbar>"]
        assert len(bars) == len(PICTURED) - 3 + 2
        assert all(bar.get_ylabel() for bar in bars)

    @pytest.mark.slow
    def test_nothing_is_clipped(self, whole: Figure) -> None:
        edge = whole.bbox
        for text in whole.findobj(Text):
            if text.get_text() and text.get_visible() and text.get_in_layout():
                box = text.get_window_extent()
                if box.width and self.is_shown(text):
                    assert box.x0 >= edge.x0 - 1, text.get_text()
                    assert box.x1 <= edge.x1 + 1, text.get_text()
                    assert box.y0 >= edge.y0 - 1, text.get_text()
                    assert box.y1 <= edge.y1 + 1, text.get_text()

    def is_shown(self, text: Text) -> bool:
        """Whether it is no tick label beyond its axis, which matplotlib makes and does not draw."""
        axes = text.axes
        return axes is None or not any(
            text in (tick.label1, tick.label2)
            for axis in (axes.xaxis, axes.yaxis)
            for tick in axis.get_major_ticks()
            if tick not in axis._update_ticks()
        )

    def test_tick_labels_do_not_touch(self, whole: Figure) -> None:
        for title, axes in panels(whole).items():
            boxes = [
                tick.label1.get_window_extent()
                for tick in axes.yaxis._update_ticks()
                if tick.label1.get_text() and tick.label1.get_visible()
            ]
            boxes.sort(key=lambda box: box.y0)
            for lower, upper in itertools.pairwise(boxes):
                assert lower.y1 <= upper.y0 + 1, title

    def test_a_tone_is_where_its_note_is(self, whole: Figure) -> None:
        """A4 = 440 Hz: loudest there, whatever the scale of the axis."""
        for title, place in {
            "Linear-frequency power spectrum": 440 / (RATE / 2048),
            "Constant-Q power spectrum (note)": 69 - 24,
            "Chromagram": PITCH_CLASSES.index("A"),
        }.items():
            values = panels(whole)[title].images[0].get_array()
            rows = values.mean(axis=1)
            assert abs(int(rows.argmax()) - place) <= 1, title

    def test_power_is_in_decibels_below_the_loudest(self, whole: Figure) -> None:
        image = panels(whole)["Mel-spectrogram"].images[0]
        assert image.get_clim() == (-80, 0)
        assert float(image.get_array().max()) == 0
        assert float(image.get_array().min()) == pytest.approx(-80)

    def test_both_channels_have_one_scale(self, whole: Figure) -> None:
        left, right = (panels(whole)[f"Waveform, {side}"] for side in ("left", "right"))
        assert left.get_ylim() == right.get_ylim() == pytest.approx((-0.525, 0.525), rel=0.01)


class TestTicks:
    def test_log_frequency(self) -> None:
        # 20 Hz to 20,480 Hz, ten octaves in 101 rows: ten rows an octave.
        rows, names = row_ticks(Axis("frequency", "Hz", "log"), 20 * 2 ** (np.arange(101) / 10))
        found = dict(zip(names, rows, strict=True))
        assert found["1k"] == pytest.approx(10 * np.log2(50), abs=0.05)
        assert found["100"] == pytest.approx(10 * np.log2(5), abs=0.05)
        assert list(found) == ["20k", "10k", "5k", "2k", "1k", "500", "200", "100", "50", "20"]

    def test_notes(self) -> None:
        assert row_ticks(Axis("note", "MIDI note"), np.arange(24.0, 108)) == (
            [72.0, 60.0, 48.0, 36.0, 24.0, 12.0, 0.0],
            ["C7", "C6", "C5", "C4", "C3", "C2", "C1"],
        )

    def test_named_rows(self) -> None:
        rows, names = row_ticks(Axis("pitch class", "", names=PITCH_CLASSES), np.arange(12.0))
        assert rows == list(range(12))
        assert names == list(PITCH_CLASSES)

    def test_a_few_rows_have_one_each(self) -> None:
        rows, names = row_ticks(Axis("octave from", "Hz"), np.array([0.0, 200, 400, 1600]))
        assert rows == [0, 1, 2, 3]
        assert names == ["0", "200", "400", "1.6k"]

    def test_they_keep_their_distance(self) -> None:
        # Evenly spaced rows, marked at 1, 2, 5, …: the low ones would lie on one another.
        rows, names = row_ticks(Axis("mel frequency", "Hz"), np.linspace(0, 10_000, 500))
        assert np.all(-np.diff(rows) >= CLOSEST * 500)
        assert names[:2] == ["10k", "5k"]


class TestParts:
    @pytest.mark.slow
    @pytest.mark.parametrize("part", PARTS)
    def test_each_alone(self, stereo: Path, part: str) -> None:
        figure = draw_sheet(load_plot_input(stereo, SnippetConfig(seconds=1)), only=[part])
        titles = list(panels(figure))
        assert len(titles) == (2 if part == "waveform" else 1)
        if part in TRANSFORMS:
            assert titles == [TRANSFORMS[part].title]

    def test_an_unknown_one(self, stereo: Path, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgumentError, match=r"no part 'melody' .*waveform, linear"):
            draw(stereo, tmp_path / "a.png", only=["melody"])

    def test_a_recording_of_one_channel(self, recording) -> None:
        assert list(
            panels(draw_sheet(load_plot_input(recording(), SnippetConfig()), only=["waveform"]))
        ) == ["Waveform, one channel"]

    def test_a_recording_that_was_repeated_says_so(self, recording) -> None:
        figure = draw_sheet(
            load_plot_input(recording(seconds=0.5), SnippetConfig(seconds=2)), only=["waveform"]
        )
        assert "(0.5 s from 0 s, repeated to 2 s;" in figure.get_suptitle()


@pytest.mark.slow
@pytest.mark.parametrize(("level", "rate"), [(1e-5, 4000), (100.0, 48_000)])
def test_any_level_and_rate(recording, level: float, rate: int) -> None:
    t = np.arange(rate) / rate
    path = recording(samples=level * np.sin(2 * np.pi * 300 * t), rate=rate, subtype="FLOAT")
    plotted = load_plot_input(path, SnippetConfig(seconds=0.5), rate)
    assert len(panels(draw_sheet(plotted))) == len(PARTS)


class TestFiles:
    def test_png_from_bytes(self, stereo: Path, tmp_path: Path) -> None:
        out = tmp_path / "new" / "a.PNG"
        draw(stereo.read_bytes(), out, SnippetConfig(seconds=1), only=["mel"])
        pixels = matplotlib.image.imread(out, format="png")
        assert pixels.shape[2] == 4
        assert pixels[..., :3].std() > 0.1

    @pytest.mark.slow
    def test_svg_and_pdf(self, stereo: Path, tmp_path: Path) -> None:
        for name, start in (("a.svg", b"<?xml"), ("a.pdf", b"%PDF")):
            draw(stereo, tmp_path / name, SnippetConfig(seconds=1), only=["centroid"])
            assert (tmp_path / name).read_bytes().startswith(start)

    @pytest.mark.parametrize(
        ("name", "reason"), [("a.gif", r"\.png"), ("folder.png", "folder"), ("file/a.png", "writ")]
    )
    def test_a_place_that_cannot_be_written_to(
        self, stereo: Path, tmp_path: Path, name: str, reason: str
    ) -> None:
        (tmp_path / "folder.png").mkdir()
        (tmp_path / "file").touch()
        with pytest.raises(InvalidArgumentError, match=rf"{name}: .*{reason}"):
            draw(stereo, tmp_path / name, SnippetConfig(seconds=1), only=["centroid"])

    def test_a_bad_recording_names_itself_and_leaves_nothing(self, tmp_path: Path) -> None:
        upload = io.BytesIO(b"la la la" * 99)
        upload.name = "upload.wav"
        with pytest.raises(AudioError, match=r"upload\.wav: cannot be decoded"):
            draw(upload, tmp_path / "a.png")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.slow
    def test_by_the_command(self, stereo: Path, tmp_path: Path, monkeypatch, capsys) -> None:
        out = tmp_path / "mine.png"
        arguments = ["coldtune", "picture", str(stereo), "--out", str(out), "--only", "chroma"]
        monkeypatch.setattr(sys, "argv", [*arguments, "--at", "1.5", "--seconds", "2"])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert not caught.value.code
        assert capsys.readouterr().out == f"picture written to {out}\n"
        assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_real_recording(real_recordings, tmp_path: Path) -> None:
    out = tmp_path / "real.png"
    draw(real_recordings[7], out, SnippetConfig(seconds=2), only=["waveform", "mel", "chroma"])
    assert matplotlib.image.imread(out)[..., :3].std() > 0.1
