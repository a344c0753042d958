"""Which item a file is: by its place, then by its sound, then by its name."""

from pathlib import Path

import pytest

from recsys.database.catalog import Catalog
from recsys.database.song import Song, SongRecording
from recsys.onboarding.folder_entries import FolderEntry
from recsys.onboarding.known_files import NEW, OTHER_SOUND, PERHAPS, SAME, FoundFile, KnownFiles

LIBRARY = Path("/library")


def known(*stored: tuple[str, str, str]) -> KnownFiles:
    """What a model knows whose items have a recording each: item id, path, sound."""
    catalog = Catalog.in_memory()
    catalog.fill(
        Song(
            item_id,
            recordings=(SongRecording(path, f"{sound}-bytes", "", "", "", sound=sound),),
        )
        for item_id, path, sound in stored
    )
    return KnownFiles(catalog)


def found(path: str, sound: str, *, item_id: str = "", retagged: bool = False) -> FoundFile:
    entry = FolderEntry(path, item_id or path.rpartition(".")[0], {}, named=bool(item_id))
    content = f"{sound}-{'other ' if retagged else ''}bytes"
    return FoundFile(entry, f"/library/{path}", content, sound)


def items(files: KnownFiles, *there: FoundFile) -> dict[str, tuple[str, str]]:
    assigned = files.assign(LIBRARY, there)
    return {path: (own.item_id, own.relation) for path, own in assigned.items()}


TWO = (("a", "/library/a.mp3", "A"), ("b", "/library/b.mp3", "B"))


@pytest.mark.parametrize("retagged", [False, True])
def test_files_that_are_where_they_were(retagged: bool) -> None:
    there = (found("a.mp3", "A", retagged=retagged), found("b.mp3", "B"), found("c.mp3", "C"))
    assert items(known(*TWO), *there) == {
        "a.mp3": ("a", SAME), "b.mp3": ("b", SAME), "c.mp3": ("c", NEW),
    }  # fmt: skip


@pytest.mark.parametrize("retagged", [False, True])
def test_renamed_files_and_what_takes_their_names(retagged: bool) -> None:
    there = (found("b.mp3", "A", retagged=retagged), found("a.mp3", "B"))  # swapped
    assert items(known(*TWO), *there) == {"b.mp3": ("a", SAME), "a.mp3": ("b", SAME)}
    there = (found("new/x.mp3", "A", retagged=retagged), found("a.mp3", "C"), found("b.mp3", "B"))
    assert items(known(*TWO), *there) == {
        "new/x.mp3": ("a", SAME), "a.mp3": ("a.mp3", NEW), "b.mp3": ("b", SAME),
    }  # fmt: skip


def test_a_copy_is_an_item_of_its_own() -> None:
    there = (found("a.mp3", "A"), found("b.mp3", "B"), found("a/copy.mp3", "A", retagged=True))
    files = known(*TWO)
    assert items(files, *there)["a/copy.mp3"] == ("a/copy", NEW)
    assigned = files.assign(LIBRARY, there)
    assert {path: own.twin for path, own in assigned.items()} == {
        "a.mp3": "", "b.mp3": "", "a/copy.mp3": "a.mp3",
    }  # fmt: skip


def test_other_sound_under_an_old_name() -> None:
    assert items(known(*TWO), found("a.mp3", "C")) == {"a.mp3": ("a", OTHER_SOUND)}
    # The file in better quality, under another suffix.
    assert items(known(*TWO), found("a.flac", "C")) == {"a.flac": ("a", OTHER_SOUND)}


def test_a_song_of_the_same_name_in_another_folder() -> None:
    other = known(("a", "/unplugged disk/a.mp3", "A"))
    assert items(other, found("a.mp3", "C")) == {"a.mp3": ("a.mp3", NEW)}
    taken = known(("a", "/disk 1/a.mp3", "A"), ("a.mp3", "/disk 2/a.mp3", "B"))
    assert items(taken, found("a.mp3", "C")) == {"a.mp3": ("library/a.mp3", NEW)}
    assert items(other, found("a.mp3", "A")) == {"a.mp3": ("a", SAME)}  # moved from there


def test_items_of_the_fit_are_relative_to_their_data_set() -> None:
    fitted = known(("a", "a.mp3", "A"))
    assert items(fitted, found("a.mp3", "A")) == {"a.mp3": ("a", SAME)}
    assert items(fitted, found("a.mp3", "C")) == {"a.mp3": ("a", OTHER_SOUND)}


def test_a_file_may_be_what_the_fit_had_at_its_path() -> None:
    (assigned,) = known(("one", "a.mp3", "")).assign(LIBRARY, [found("a.mp3", "A")]).values()
    assert (assigned.item_id, assigned.relation, assigned.otherwise) == ("one", PERHAPS, "a")


def test_ids_of_the_table_come_first() -> None:
    assert items(known(*TWO), found("x.mp3", "A", item_id="b"), found("a.mp3", "B")) == {
        "x.mp3": ("b", OTHER_SOUND), "a.mp3": ("a", OTHER_SOUND),
    }  # fmt: skip


def test_what_is_gone() -> None:
    files = known(*TWO, ("c", "/library/sub/c.mp3", "C"), ("d", "/elsewhere/d.mp3", "D"))
    gone, kept = files.missing(LIBRARY, {"b"}, [])
    assert ([one.item_id for one in gone], kept) == (["a", "c"], 1)
    gone, kept = files.missing(LIBRARY, {"b"}, ["sub"])  # which may not be read
    assert [one.item_id for one in gone] == ["a"]
    assert files.missing(LIBRARY, set(), []) == (files.missing(LIBRARY, set(), [])[0], 0)


def test_what_is_still_there_is_not_gone(tmp_path: Path) -> None:
    (tmp_path / ".hidden.mp3").touch()
    files = known(("a", str(tmp_path / ".hidden.mp3"), "A"))
    assert files.missing(tmp_path, set(), []) == ([], 0)


FIT = (("a", "a.mp3", "A"), ("b", "sub/b.mp3", "B"), ("c", "c.mp3", "C"))


def test_the_folder_of_the_data_set_is_known_by_most_of_its_recordings() -> None:
    files = known(*FIT, ("d", "/elsewhere/d.mp3", "D"))
    there = (found("a.mp3", "A"), found("sub/b.mp3", "B", retagged=True), found("x.mp3", "E"))
    assert files.place_in(LIBRARY, there) == {
        "a": {"A-bytes": "/library/a.mp3"},
        "b": {"B-bytes": "/library/sub/b.mp3"},
        "c": {"C-bytes": "/library/c.mp3"},
    }
    assert items(files, *there) == {
        "a.mp3": ("a", SAME), "sub/b.mp3": ("b", SAME), "x.mp3": ("x", NEW),
    }  # fmt: skip
    gone, kept = files.missing(LIBRARY, {"a", "b"}, [])
    assert ([one.item_id for one in gone], kept) == (["c"], 2)
    assert files.place_in(LIBRARY, there) == {}


def test_the_folder_of_the_data_set_is_known_to_the_model() -> None:
    files = known(*FIT)
    assert len(files.place_in(LIBRARY, [found("a.mp3", "A")], LIBRARY)) == 3
    gone, _ = files.missing(LIBRARY, {"a"}, [])
    assert [one.path for one in gone] == ["/library/c.mp3", "/library/sub/b.mp3"]
    files = known(*FIT)
    paths = files.place_in(LIBRARY, [], LIBRARY / "deep")
    assert paths["a"] == {"A-bytes": "/library/deep/a.mp3"}
    files = known(*FIT)
    assert files.place_in(LIBRARY, [], Path("/elsewhere")) == {}


def test_of_another_folder_it_is_known_what_is_in_it() -> None:
    files = known(*FIT)
    there = (found("copy/a.mp3", "A"), found("b.mp3", "X"))
    assert files.place_in(LIBRARY, there) == {"a": {"A-bytes": "/library/copy/a.mp3"}}
    assert files.missing(LIBRARY, {"a"}, []) == ([], 1)
