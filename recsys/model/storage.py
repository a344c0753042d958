"""Save, open, replace and check a model in a folder.

The folder holds the fitted state, the index and the song database; the song database also stores
what comes to the model after the fit.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from datasets.errors import ArtifactError, ColdtuneError, InvalidArgumentError, ReplacedError
from datasets.system.files import check_writable
from recsys.config import RecommenderConfig
from recsys.database.catalog import Catalog
from recsys.database.song import Song
from recsys.index.build import SIDECAR
from recsys.model import artifact
from recsys.model.live import LiveModel
from recsys.model.repair import repaired
from recsys.model.state import FittedState

if TYPE_CHECKING:
    from embedding import SongEncoder
    from embedding.encoders.protocol import Encoder

_CATALOG = "catalog.sqlite"

_PREPARED = "prepared_"
"""What the names of files begin with that hold `LiveModel.prepared`."""

LARGE = 2**26
"""Bytes. A song database up to this size is checked as a whole when the model is opened. A larger
one is checked when more of it is used than the changes since the fit, whose rows have checksums."""

LARGE_CHANGED = 2**22
"""The same for a database that has changed since the save: it has no digest, so that every row is
checked."""


def save_model(folder: Path, model: LiveModel, *, replace: bool = False) -> LiveModel:
    """Write a model to a folder; the song database of the returned one is there.

    Args:
        folder: a new folder, that of this model, or that of another one.
        model: the model.
        replace: whether what another model there has acknowledged may be lost.

    Returns:
        The model as it is in the folder.

    Raises:
        ArtifactError: it cannot be written, or the folder is this model's and another process has
            put a new model there since; a model that was there is left as it was.
        InvalidArgumentError: another model there took in songs or plays that would be lost.
        BusyError: another process has been writing there for too long.
    """
    with artifact.writing(folder, "saving the model", longer=True):
        if not replace and (folder / artifact.MANIFEST).exists():
            if _is_home(folder, model):
                _check_current(folder, model)
            elif lost := _would_be_lost(folder, model, "replace=True"):
                raise InvalidArgumentError(lost)
        return _write(folder, model.reopened())


def replace_model(
    folder: Path, model: LiveModel, make: Callable[[LiveModel], LiveModel]
) -> LiveModel:
    """Replace the model in a folder by one made from it and from what other processes stored.

    Args:
        folder: where the model was saved.
        model: the model, as far as this process knows it.
        make: computes the new model.

    Raises:
        ArtifactError: it cannot be written, or another model was saved there meanwhile; the model
            that was there is left as it was.
    """
    # Held, so that nothing can be stored that would not be in it.
    with held_for_change(folder, model, "rebuilding the model", longer=True):
        return _write(folder, make(model.reopened()))


def load_model(folder: Path) -> LiveModel:
    """Open a model.

    Args:
        folder: where `save_model` wrote it.

    Returns:
        The model, with all changes that its song database has stored.

    Raises:
        ArtifactError: no model there, or one that is damaged, incomplete, or of a newer format.

    Examples:
        >>> recommender.save(folder / "model")
        >>> len(load_model(folder / "model").items)
        30
    """
    while True:
        manifest = artifact.read_manifest(folder)
        try:
            return _open(folder, manifest)
        except ArtifactError:
            # Another process may have put a new model there and removed the files of this one.
            if artifact.read_generation(folder) == manifest["generation"]:
                raise


def refresh_model(folder: Path, model: LiveModel) -> LiveModel:
    """Return the model in a folder as it is now; the given one if nothing has changed.

    Raises:
        ArtifactError: it cannot be read.
    """
    while True:
        generation = artifact.read_generation(folder)
        if generation != model.generation or not model.catalog.is_in_place():
            return _heard_as_before(load_model(folder), model)
        try:
            return model.reopened()
        except ArtifactError:  # another process may just have put a new model there
            if artifact.read_generation(folder) == generation:
                raise


def _heard_as_before(model: LiveModel, before: LiveModel) -> LiveModel:
    """Return a model with the encoder of another, where that may have been given and is its own."""
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder
    from embedding.encoders.own.waveform import WaveformEncoder

    given = before.state.encoder
    if isinstance(given, FineTunedEncoder):
        given = given.backbone
    if not isinstance(given, WaveformEncoder):
        return model
    try:
        return model.heard_by(given)
    except ColdtuneError:
        return model


def open_encoder(folder: Path) -> "Encoder":
    """Open what a saved model embeds recordings with, or an encoder that was saved alone.

    Raises:
        ArtifactError: there is neither.
        InvalidArgumentError: a model without an encoder.
    """
    from embedding.encoders.loading import load_encoder
    from embedding.network.storage import ENCODER_MANIFEST

    if (folder / ENCODER_MANIFEST).is_file():
        return load_encoder(folder)
    if not (folder / artifact.MANIFEST).exists():
        raise ArtifactError(
            f"{folder}: there is no saved encoder and no model here (no {ENCODER_MANIFEST}, no "
            f"{artifact.MANIFEST})"
        )
    encoder = load_model(folder.absolute()).state.encoder
    if encoder is None:
        raise InvalidArgumentError(f"{folder}: this model has no network of its own")
    return encoder


def open_network(folder: Path) -> "SongEncoder":
    """Open the network of a saved model, or a network that was saved alone.

    Raises:
        ArtifactError: there is neither.
        InvalidArgumentError: a model without a network.
    """
    return network_of(open_encoder(folder), folder)


def network_of(encoder: "Encoder", folder: Path) -> "SongEncoder":
    """Return an encoder that is a network; raise InvalidArgumentError for any other."""
    from embedding import SongEncoder

    if not isinstance(encoder, SongEncoder):
        method = encoder.summary()["method"]
        raise InvalidArgumentError(
            f"{folder}: there is no network of coldtune's own; songs are compared by {method}"
        )
    return encoder


def open_catalog(folder: Path, *, whole: bool) -> Catalog:
    """Open the song database of a model without the rest of it.

    Args:
        folder: where the model was saved.
        whole: check every row; otherwise only that it belongs to the model, which takes no longer
            for many songs.

    Raises:
        ArtifactError: no model there, or a damaged one.

    Examples:
        >>> recommender.save(folder / "model")
        >>> sum(1 for _ in open_catalog(folder / "model", whole=True).songs())
        30
    """
    while True:
        manifest = artifact.read_manifest(folder)
        try:
            return _open_catalog(folder, manifest, "now" if whole else "never")
        except ArtifactError:
            if artifact.read_generation(folder) == manifest["generation"]:
                raise


def _write(folder: Path, model: LiveModel) -> LiveModel:
    state = model.state
    document = {"config": state.config.model_dump(mode="json"), "info": state.info}
    with artifact.new_generation(folder, document, mutable={_CATALOG}) as generation:
        state.write(generation)
        for name, array in model.prepared.items():
            artifact.save_array(generation, _PREPARED + name, array)
        fit, revision = model.catalog.copy_to(generation / _CATALOG)
        document["catalog"] = {"fit": fit, "revision": revision}
        index_file = model.write_index(generation)
    return model.saved_as(
        Catalog.open(generation / _CATALOG),
        generation.name,
        index_file,
    )


@contextmanager
def held_for_change(
    folder: Path, model: LiveModel, doing: str, *, longer: bool = False
) -> Iterator[None]:
    """Hold off other writers while the model in a folder is changed.

    Args:
        folder: where the model was saved.
        model: the model, as far as this process knows it.
        doing: what is done, as in "storing songs".
        longer: wait for longer, as work would be lost otherwise.

    Raises:
        ReplacedError: another process has saved a new model there meanwhile.
        BusyError: another process has been writing there for too long.
    """
    _check_current(folder, model)  # before the lock, the lock file would create the folder again
    with artifact.writing(folder, doing, longer=longer):
        _check_current(folder, model)
        artifact.remove_others(folder, str(model.generation))
        yield


def _open(folder: Path, manifest: dict[str, Any]) -> LiveModel:
    generation = artifact.verify_files(folder, manifest)
    try:
        config = RecommenderConfig.from_json(manifest["config"])
        version = manifest["format_version"]
        state = FittedState.read(generation, config, manifest["info"], version)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{folder / artifact.MANIFEST}: does not describe a model: {error}"
        ) from None
    catalog = _open_catalog(folder, manifest, "by size")
    try:
        index = generation / SIDECAR if SIDECAR in manifest["files"] else None
        prepared = {
            name.removeprefix(_PREPARED): artifact.load_array(generation, name)
            for name in (one.removesuffix(".npy") for one in manifest["files"])
            if name.startswith(_PREPARED)
        }
        usable = repaired(state, folder)
        if usable is not state:  # index and arrays are of the vectors before
            state, index, prepared = usable, None, {}
        model = LiveModel(state, catalog, index, prepared)
    except BaseException:
        catalog.close()
        raise
    model.generation = manifest["generation"]
    return model


def _open_catalog(
    folder: Path, manifest: dict[str, Any], check: Literal["now", "never", "by size"]
) -> Catalog:
    path = folder / str(manifest["generation"]) / _CATALOG
    try:
        saved = _SavedCatalog(
            fit=str(manifest["catalog"]["fit"]),
            revision=int(manifest["catalog"]["revision"]),
            digest=str(manifest["files"][_CATALOG]["sha256"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{folder / artifact.MANIFEST}: does not describe a model: {error}"
        ) from None
    catalog = Catalog.open(path)
    try:
        fit, revision = catalog.revision()
        limit = LARGE if revision == saved.revision else LARGE_CHANGED
        later = check == "by size" and catalog.size() > limit
        if check == "now" or (check == "by size" and not later):
            _check_catalog(catalog, path, saved, manifest)
        elif fit != saved.fit:
            raise ArtifactError(f"{path}: is the song database of another model")
        if later:
            catalog.check_structure()
            catalog.check_later(partial(_check_catalog, path=path, saved=saved, manifest=manifest))
    except BaseException:
        catalog.close()
        raise
    return catalog


def _check_current(folder: Path, model: LiveModel) -> None:
    generation = artifact.read_generation(folder)
    # A copy that was put in the place of the model has the same generation, but other files.
    if generation != model.generation or not model.catalog.is_in_place():
        raise ReplacedError(
            f"{folder}: the model was replaced since it was opened; load it again, or refresh it"
        )


def _is_home(folder: Path, model: LiveModel) -> bool:
    """Return whether a model was loaded from a folder, or saved to it last."""
    path = model.catalog.path
    if path is None:
        return False
    home = path.parent.parent
    try:
        return home == folder or home.samefile(folder)
    except OSError:
        return False


class _SavedCatalog(NamedTuple):
    """What a manifest says about the song database as it was saved."""

    fit: str
    revision: int
    digest: str


def _check_catalog(
    catalog: Catalog, path: Path, saved: _SavedCatalog, manifest: dict[str, Any]
) -> None:
    """Check that a song database is as it was saved, or that every row changed since is whole."""
    for _ in range(2):  # twice, in case another process was just writing what it did not finish
        # Opening undoes what a killed process left half written; only then do the bytes count.
        if catalog.revision()[0] != saved.fit:
            raise ArtifactError(f"{path}: is the song database of another model")
        with catalog.alone("checking it"):
            # Raises ArtifactError, too, where another process has just saved a new model.
            (found,) = artifact.file_digests([path], manifest)
        if found == saved.digest:
            return
        if catalog.revision()[1] != saved.revision:
            catalog.verify()
            return
    raise ArtifactError(f"{path}: has been changed or damaged")


def check_overwrite(folder: Path, *, replace: bool) -> str:
    """Check that a model may be saved to a folder, before hours are spent on learning it.

    A model that is there may hold songs and plays that it acknowledged after its fit. The new model
    would not have them.

    Args:
        folder: where the model is to be saved.
        replace: whether what came to the model there after its fit may be lost.

    Returns:
        A sentence naming what would be overwritten; "" if no model is there.

    Raises:
        ArtifactError: the folder cannot be written or holds something else.
        InvalidArgumentError: something would be lost and `replace` is false.
    """
    artifact.check_destination(folder)
    try:
        check_writable(folder / artifact.MANIFEST)
    except OSError as error:
        raise ArtifactError(f"{folder}: a model cannot be saved there: {error.strerror}") from None
    if not (folder / artifact.MANIFEST).exists():
        return ""
    if not replace and (lost := _would_be_lost(folder, None, "--replace")):
        raise InvalidArgumentError(lost)
    try:
        later = _changes_since_fit(folder, None)
    except ArtifactError:
        later = "it cannot be read"
    goes = f"{folder}: the model there is replaced"
    return f"{goes}, with what came to it after its fit ({later})" if later else goes


def _would_be_lost(folder: Path, model: LiveModel | None, option: str) -> str:
    """Say what saving a model over the one in a folder would lose; "" for nothing."""
    let_go = f"{option} lets it go"
    try:
        later = _changes_since_fit(folder, model)
    except ArtifactError as error:
        return f"{error}; what came to the model after its fit is not known, {let_go}"
    if not later:
        return ""
    return (
        f"{folder}: the new model would not have what came to this one after its fit "
        f"({later}); {let_go}"
    )


def _changes_since_fit(folder: Path, model: LiveModel | None) -> str:
    """What the model in a folder took in after its fit, in words; "" for nothing.

    Without what `model` has as well, if that is a copy of it.
    """
    info = artifact.read_manifest(folder).get("info")
    catalog = open_catalog(folder, whole=False)
    try:
        changes = catalog.changes()
    finally:
        catalog.close()
    own = None if model is None else model.catalog.changes()
    if own is not None and own.revision[0] == changes.revision[0]:  # of one fit, and one rebuild
        known = set(map(_content, own.songs))
        counts = {
            "onboarded songs": sum(_content(song) not in known for song in changes.songs),
            "plays": (Counter(changes.all_plays) - Counter(own.all_plays)).total(),
            "removed songs": len(set(changes.removed).difference(own.removed)),
        }
    else:
        counts = {
            "onboarded songs": len(changes.songs),
            "plays": len(changes.all_plays),
            "removed songs": len(changes.removed),
            # After a rebuild they are part of the model and cannot be told from it.
            "rebuilds": int(info.get("rebuilt", 0)) if isinstance(info, dict) else 0,
        }
    return ", ".join(f"{what}: {count:,}" for what, count in counts.items() if count)


def _content(song: Song) -> str:
    """A digest of all there is of a song but when it came."""
    return str(replaced(song, onboarded=None).to_row()["checksum"])
