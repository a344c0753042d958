"""Saving and opening a recommender: which files a model folder holds and how they fit together."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.errors import ArtifactError
from datasets.files import file_digest
from recsys import artifact
from recsys.catalog import Catalog
from recsys.config import RecommenderConfig
from recsys.library import Library
from recsys.state import FittedState

_CATALOG = "catalog.sqlite"
_INDEX = "index.annoy"


def save(folder: Path, library: Library) -> None:
    """Write a model; from then on the library's catalog is the one in the folder.

    Raises ArtifactError where it cannot be written; a model that was there is left as it was.
    """
    state = library.state
    with artifact.writing(folder):
        document = {
            "config": state.config.model_dump(mode="json"),
            "info": state.info,
            "catalog_revision": library.catalog.revision(),
        }
        with artifact.new_generation(folder, document, mutable={_CATALOG}) as generation:
            state.write(generation)
            library.catalog.copy_to(generation / _CATALOG)
            if library.index_file is not None:
                for path in (library.index_file, library.index_file.with_suffix(".json")):
                    shutil.copyfile(path, generation / f"index{path.suffix}")
        library.catalog.close()
        library.catalog = Catalog.open(generation / _CATALOG)
        library.generation = generation.name


def load(folder: Path) -> Library:
    """Open a model. Raises ArtifactError: none there, damaged, incomplete, or of a newer format."""
    manifest = artifact.read_manifest(folder)
    generation = artifact.verify_files(folder, manifest)
    catalog = Catalog.open(generation / _CATALOG)
    _check_catalog(catalog, generation / _CATALOG, manifest)
    try:
        config = RecommenderConfig.from_json(manifest["config"])
    except (KeyError, ValueError) as error:
        raise ArtifactError(
            f"{folder}: the model's configuration cannot be used: {error}"
        ) from None
    state = FittedState.read(generation, config, manifest["info"])
    index = generation / _INDEX
    library = Library(state, catalog, index if index.exists() else None)
    library.generation = manifest["generation"]
    return library


@contextmanager
def current(folder: Path, library: Library) -> Iterator[None]:
    """Hold the folder for a change to the model in it.

    Raises ArtifactError when another process has saved a new model there meanwhile.
    """
    with artifact.writing(folder):
        if artifact.read_manifest(folder)["generation"] != library.generation:
            raise ArtifactError(
                f"{folder}: the model was replaced since it was opened; load it again"
            )
        yield


def _check_catalog(catalog: Catalog, path: Path, manifest: dict[str, object]) -> None:
    """Make sure that a song database is as it was saved, or whole and onboarded to since."""
    files = manifest["files"]
    assert isinstance(files, dict)
    if file_digest(path) == files[_CATALOG]["sha256"]:
        return
    if catalog.revision() == manifest["catalog_revision"]:
        raise ArtifactError(f"{path}: has been changed or damaged")
    catalog.verify()
