"""Folders tagged by what a model hears: what is written, kept, left out, continued and undone."""

import json
import shutil
from pathlib import Path

import mutagen
import pytest
import soundfile

from datasets.errors import BusyError, DataError, InvalidArgumentError
from embedding.decoding.sound_digest import sound_digest
from recsys import Recommender
from recsys.database.heard import NamedValues
from recsys.tagging import folder as tagging
from recsys.tagging import undo_tags
from recsys.tagging.folder import TaggingOptions, _possible_fields, tag_folder
from recsys.tagging.journal import open_journal
from tests.helpers.commands import Call
from tests.helpers.folders import file_contents, names_in
from tests.helpers.recordings import write_song

ALL = {"least": 0.0, "unfamiliar": True}
HEARD = [
    NamedValues("genre", "genre", ["jazz", "blues"]),
    NamedValues("mood", "mood", ["calm"]),
    NamedValues("other", "year", ["1999"]),
]


@pytest.fixture(scope="module")
def hearing(hearing_model: Path) -> Recommender:
    return Recommender.load(hearing_model)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder with a flac, and a wav below it."""
    write_song(tmp_path / "music" / "a.flac", 0)
    write_song(tmp_path / "music" / "b" / "b.wav", 1)
    return tmp_path / "music"


@pytest.fixture
def hears_more(monkeypatch: pytest.MonkeyPatch) -> list[NamedValues]:
    """The model hears this of every recording, whatever it is; a test may change it."""
    heard = list(HEARD)
    monkeypatch.setattr(tagging, "named_values", lambda scores, least: list(heard))
    return heard


def statuses(report) -> list[str]:
    return report["status"].tolist()


def journal_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.coldtune-tags.jsonl")


def test_a_dry_run_changes_nothing(hearing: Recommender, music: Path) -> None:
    before = file_contents(music.parent)
    report = hearing.tag_folder(music, **ALL)
    assert report["path"].tolist() == ["a.flac", "b/b.wav"]
    assert statuses(report) == ["set", "set"]
    assert report["field"].tolist() == ["GENRE", "GENRE"]
    assert all(new[0] in ("rock", "jazz") for new in report["new"])
    assert file_contents(music.parent) == before


def test_writing_is_idempotent_and_undone(hearing: Recommender, music: Path) -> None:
    before = file_contents(music)
    sounds = [sound_digest(music / name) for name in before]
    report = hearing.tag_folder(music, write=True, **ALL)
    assert statuses(report) == ["set", "set"]
    for path, new in zip(report["path"], report["new"], strict=True):
        tags = mutagen.File(music / path).tags
        assert [str(one) for one in (tags.get("GENRE") or tags["TCON"].text)] == new
    assert [sound_digest(music / name) for name in before] == sounds
    after = file_contents(music.parent)
    again = hearing.tag_folder(music, write=True, **ALL)
    assert statuses(again) == ["unchanged", "unchanged"]
    assert file_contents(music.parent) == after
    assert names_in(music.parent) == ["music", "music.coldtune-tags.jsonl"]
    undone = undo_tags(journal_of(music))
    assert statuses(undone) == ["restored", "restored"]
    assert all(mutagen.File(music / path).tags in (None, []) for path in report["path"])
    assert (music / "b" / "b.wav").read_bytes() == before["b/b.wav"]
    assert undo_tags(journal_of(music)).empty


def test_what_somebody_wrote_is_kept(
    hearing: Recommender, music: Path, hears_more: list[NamedValues]
) -> None:
    file = mutagen.File(music / "a.flac")
    file["genre"] = ["Polka"]
    file.save()
    report = hearing.tag_folder(music, write=True, **ALL)
    rows = report[report["path"] == "a.flac"].set_index("field")["status"].to_dict()
    assert rows == {"GENRE": "kept", "MOOD": "set", "HEARD_YEAR": "set"}
    assert mutagen.File(music / "a.flac")["genre"] == ["Polka"]
    hearing.tag_folder(music, write=True, overwrite=True, **ALL)
    assert mutagen.File(music / "a.flac")["genre"] == ["jazz", "blues"]
    assert "left" not in statuses(undo_tags(journal_of(music)))
    assert list(list.__iter__(mutagen.File(music / "a.flac").tags)) == [("genre", "Polka")]


def test_a_genre_in_another_kind_of_tags_is_somebodys(
    hearing: Recommender, music: Path, hears_more: list[NamedValues]
) -> None:
    shutil.rmtree(music / "b")
    (music / "a.flac").unlink()
    samples, rate = soundfile.read(write_song(music.parent / "one.wav", 0))
    with soundfile.SoundFile(music / "a.wav", "w", rate, 1) as file:
        file.genre = "Polka"  # in the list INFO
        file.write(samples)
    report = hearing.tag_folder(music, **ALL)
    assert statuses(report) == ["kept", "set", "set"]
    assert report["old"][0] == ["Polka"]


def test_own_values_are_renewed_and_changed_ones_are_left(
    hearing: Recommender, music: Path, hears_more: list[NamedValues]
) -> None:
    hearing.tag_folder(music, write=True, **ALL)
    hears_more[0] = NamedValues("genre", "genre", ["rock"])
    report = hearing.tag_folder(music, write=True, least=0.1, unfamiliar=True)
    assert statuses(report) == ["renewed", "unchanged", "unchanged"] * 2
    file = mutagen.File(music / "a.flac")
    assert file["GENRE"] == ["rock"]
    file["MOOD"] = ["gloomy"]
    file.save()
    (music / "b" / "b.wav").rename(music / "renamed.wav")
    undone = undo_tags(journal_of(music))
    rows = undone[undone["path"] == "a.flac"].set_index("field")["status"].to_dict()
    assert rows == {"GENRE": "restored", "MOOD": "left", "HEARD_YEAR": "restored"}
    assert list(list.__iter__(mutagen.File(music / "a.flac").tags)) == [("MOOD", "gloomy")]
    assert mutagen.File(music / "renamed.wav").tags is None


def test_unfamiliar_and_unsure_recordings_are_left_alone(
    hearing: Recommender, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file_contents(music)
    state = type(hearing._fitted().state)
    monkeypatch.setattr(state, "familiarity_of", lambda *_: 0.01)
    assert statuses(hearing.tag_folder(music, write=True, least=0)) == ["unfamiliar"] * 2
    monkeypatch.setattr(state, "familiarity_of", lambda *_: 0.5)
    assert statuses(hearing.tag_folder(music, least=1)) == ["unsure"] * 2
    assert file_contents(music) == before


def test_an_interrupted_run_goes_on_without_hearing_again(
    hearing: Recommender, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, calls = tagging.change_file, []

    def interrupted(*args, announce, **kwargs) -> None:
        calls.append(args)
        if len(calls) == 2:
            announce()  # in the journal, but not in the file
            raise KeyboardInterrupt
        change(*args, announce=announce, **kwargs)

    monkeypatch.setattr(tagging, "change_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hearing.tag_folder(music, write=True, **ALL)
    with journal_of(music).open("ab") as stream:
        stream.write(b'{"event": "writ')  # killed while a line was written
    assert sorted(statuses(undo_tags(journal_of(music)))) == ["as before", "restored"]
    monkeypatch.setattr(tagging, "change_file", change)
    embedder = type(hearing._fitted().audio)
    monkeypatch.setattr(embedder, "decoding_job", lambda *_, **__: pytest.fail("heard again"))
    assert statuses(hearing.tag_folder(music, write=True, **ALL)) == ["set", "set"]
    lines = journal_of(music).read_text().splitlines()
    assert [json.loads(line).get("event") for line in lines[1:]].count("heard") == 2


def test_bad_files_have_a_line_each_and_the_rest_goes_on(
    hearing_model: Path, music: Path, call: Call
) -> None:
    (music / "link.flac").symlink_to(music / "a.flac")
    (music / "read-only.flac").write_bytes((music / "a.flac").read_bytes())
    (music / "read-only.flac").chmod(0o444)
    (music / "text.mp3").write_text("no song " * 99)
    (music / "tags.flac").write_bytes((music / "a.flac").read_bytes()[:60])
    (music / "cover.jpg").touch()
    arguments = (music, "--model", hearing_model, "--least", 0, "--unfamiliar")
    said = call("tag", *arguments, "--write")
    assert said.code == 1
    lines = [line for line in said.err.splitlines() if line.partition(":")[0] in names_in(music)]
    assert [line.partition(":")[0] for line in lines] == [
        "link.flac", "read-only.flac", "tags.flac", "text.mp3",
    ]  # fmt: skip
    assert "2 fields of 2 files written" in said.out
    assert "4 files failed" in said.out
    said = call("tag", "--undo", journal_of(music), "--json")
    assert said.code == 0
    assert [row["status"] for row in json.loads(said.out)["rows"]] == ["restored"] * 2


def test_command_shows_a_table_and_says_how_to_go_on(
    hearing_model: Path, music: Path, call: Call
) -> None:
    arguments = (music, "--model", hearing_model, "--least", 0, "--unfamiliar")
    said = call("tag", *arguments)
    assert said.code == 0
    assert said.out.splitlines()[0].split("\t") == ["file", "field", "old", "new"]
    assert "--write does it" in said.err
    said = call("tag", *arguments, "--json", "--journal", music.parent / "j.jsonl", "--write")
    document = json.loads(said.out)
    assert document["written"] is True
    assert [row["field"] for row in document["rows"]] == ["GENRE", "GENRE"]
    assert (music.parent / "j.jsonl").exists()
    assert not journal_of(music).exists()


def test_names_that_are_no_text(hearing: Recommender, music: Path) -> None:
    shutil.rmtree(music / "b")
    odd = music / "caf\udce9 \\xe9\n.flac"
    (music / "a.flac").rename(odd)
    before = odd.read_bytes()
    assert statuses(hearing.tag_folder(music, write=True, **ALL)) == ["set"]
    assert odd.read_bytes() != before
    assert statuses(undo_tags(journal_of(music))) == ["restored"]
    assert not mutagen.File(odd).tags


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--model", "MODEL"], "does not exist"),
        (["empty", "--model", "MODEL"], "holds no recordings"),
        (["music", "--model", "MODEL", "--least", "nan"], "least must be from 0 to 1"),
        (["music", "--model", "MODEL", "--threads", "0"], "threads must be at least 1"),
        (["music", "--model", "MODEL", "--write", "--journal", "empty"], "is a folder"),
        (["music", "--model", "MODEL", "--write", "--journal", "x/y"], "no folder to write it in"),
        (["music", "--model", "MODEL", "--write", "--journal", "notes"], "is no journal"),
        (["music", "--model", "MODEL", "--journal", "notes"], "is no journal"),
        (["music"], "'--model'"),
        (["--model", "MODEL"], "'FOLDER'"),
        (["--undo", "none.jsonl"], "there is no such journal"),
        (["--undo", "notes"], "is no journal"),
        (["--undo", "none.jsonl", "--overwrite"], "--overwrite does not go with --undo"),
    ],
)
def test_wrong_calls_are_one_line(
    arguments: list[str],
    message: str,
    hearing_model: Path,
    music: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(music.parent)
    Path("empty").mkdir()
    Path("notes").write_text("something of mine\n")
    said = call("tag", *(str(hearing_model) if one == "MODEL" else one for one in arguments))
    assert said.code in (1, 2)
    assert message in said.err
    assert said.err.count("\n") == 1
    assert Path("notes").read_text() == "something of mine\n"


def test_a_model_without_tags_is_an_error(fitted: Recommender, music: Path) -> None:
    with pytest.raises(InvalidArgumentError):
        fitted.tag_folder(music)


def test_an_encoder_without_tags_is_an_error(
    hearing: Recommender, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing._fitted().audio.encoder, "heads_", {})
    with pytest.raises(InvalidArgumentError, match="predicts no tags of recordings"):
        tag_folder(hearing._fitted(), music, options=TaggingOptions())


def test_a_journal_is_of_one_folder_and_one_process(
    hearing: Recommender, music: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "j.jsonl"
    hearing.tag_folder(music, write=True, journal=journal, **ALL)
    write_song(tmp_path / "other" / "c.flac", 2)
    with pytest.raises(DataError, match="is the journal of"):
        hearing.tag_folder(tmp_path / "other", write=True, journal=journal, **ALL)
    with open_journal(journal, None), pytest.raises(BusyError, match="another process"):
        undo_tags(journal)
    moved = music.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="is gone"):
        undo_tags(journal)
    assert statuses(undo_tags(journal, moved)) == ["restored", "restored"]


def test_a_damaged_line_of_a_journal_is_named(
    hearing: Recommender, music: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "j.jsonl"
    hearing.tag_folder(music, write=True, journal=journal, **ALL)
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], "{}", *lines[1:]]) + "\n")
    with pytest.raises(DataError, match="line 2: is damaged"):
        undo_tags(journal)


def test_fields_are_known_before_hearing_where_all_tags_are_genres_and_moods() -> None:
    def names(**heads: list[str]) -> list[str]:
        return [field.name for field in _possible_fields(heads)]

    assert names(genre=["jazz", "rock"]) == ["GENRE"]
    assert names(mood=["calm", "sad"], genre=["jazz", "rock"]) == ["MOOD", "GENRE"]
    assert names(genre=["jazz", "rock"], era=["80s", "90s"]) == []
    assert names(tags=["jazz", "80s"]) == []
