"""Fetch a model that was logged to MLflow into a folder of its own."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.system.temporary import temporary_folder
from datasets.texts.safe_text import hide_password
from recsys.model.artifact import read_manifest
from recsys.tracking.model import LOGGED_AS, default_store
from recsys.tracking.runs import short_timeouts, tracking_uri

_URI = re.compile(r"(models|runs|mlflow-artifacts):/+[^/].*")
_REGISTERED = re.compile(r"models:/+([^/@]+)(?:/([^/@]+)|@([^/@]+))")


def is_logged(model: str | Path) -> bool:
    """Return whether a text names a model of MLflow rather than a folder.

    Examples:
        >>> is_logged("models:/songs/1"), is_logged("model"), is_logged("models/songs")
        (True, False, False)
    """
    return _URI.fullmatch(str(model)) is not None


def fetch_model(uri: str, folder: str | Path | None = None) -> Path:
    """Copy a model that was logged to MLflow, so that it can be opened, served and changed.

    A copy that is there already is left as it is, with all that has come to it since: what a
    service took in is still there when it starts again. MLflow's own copy never changes.

    Args:
        uri: ``models:/NAME/VERSION``, ``models:/NAME@ALIAS``, ``models:/NAME/latest``, or what
            `log_model` returned.
        folder: where to; by default a folder for this version in `models_folder`.

    Returns:
        The folder of the copy.

    Raises:
        InvalidArgumentError: not such a URI.
        ArtifactError: MLflow has no such model, cannot be reached, or the model is none of ours.

    Examples:
        >>> fetch_model("models:/songs/1", "copy")  # doctest: +SKIP
        PosixPath('copy')
    """
    if not is_logged(uri):
        raise InvalidArgumentError(
            f"a model of MLflow is named as in models:/NAME/VERSION, not {uri!r}"
        )
    # A path has lost one of several slashes; MLflow wants one for models and runs.
    uri = re.sub(r"^(models|runs):/+", r"\1:/", uri)
    store = tracking_uri()
    named = Path(store.removeprefix("sqlite:///"))
    if store.startswith("sqlite:///") and not named.is_file():
        raise ArtifactError(
            f"{uri}: there is no {named.name} in {named.parent}; name the store with "
            "MLFLOW_TRACKING_URI"
        )
    try:
        with default_store(store), short_timeouts():
            exact = _exact(uri)
            place = Path(folder) if folder is not None else _place(store, exact)
            if not place.exists():
                _download(exact, place)
    except (ArtifactError, InvalidArgumentError):
        raise
    except Exception as error:  # from MLflow, its store or the network
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ArtifactError(f"{uri}: cannot be fetched: {hide_password(reason)}") from None
    read_manifest(place)
    return place


def models_folder() -> Path:
    """Return where copies of MLflow's models are kept: in XDG_DATA_HOME or ~/.local/share.

    Examples:
        >>> models_folder().parts[-2:]
        ('coldtune', 'models')
    """
    configured = os.environ.get("XDG_DATA_HOME")
    data = Path(configured) if configured else Path.home() / ".local" / "share"
    return data / "coldtune" / "models"


def _exact(uri: str) -> str:
    """Return the URI of one version for that of an alias or of the latest."""
    found = _REGISTERED.fullmatch(uri)
    if found is None:
        return uri
    from mlflow import MlflowClient

    client: Any = MlflowClient()
    name, version, alias = found.groups()
    if alias is not None:
        version = client.get_model_version_by_alias(name, alias).version
    elif not version.isdecimal():
        if version.lower() != "latest":
            raise ArtifactError(f"{uri}: a version is a number or latest; an alias is NAME@ALIAS")
        versions = client.search_model_versions(f"name = '{name}'") if "'" not in name else []
        if not versions:
            raise ArtifactError(f"{uri}: there is no model of this name")
        version = max(int(one.version) for one in versions)
    return f"models:/{name}/{version}"


def _place(store: str, uri: str) -> Path:
    """A folder for each model of each store."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", uri.partition(":")[2]).strip("-.")[:80]
    digest = hashlib.sha256(f"{store} {uri}".encode()).hexdigest()[:8]
    return models_folder() / f"{plain}-{digest}"


def _download(uri: str, place: Path) -> None:
    """Copy the recommender in a logged model to a folder that is not there yet."""
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model

    place.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(place.parent) as temporary:
        logged = Path(download_artifacts(artifact_uri=uri, dst_path=str(temporary / "logged")))
        flavors = Model.load(str(logged)).flavors
        artifacts = flavors.get("python_function", {}).get("artifacts", {})
        inside = artifacts.get(LOGGED_AS, {}).get("path")
        found = (logged / str(inside)).resolve()
        if inside is None or not found.is_relative_to(logged.resolve()):
            raise ArtifactError(f"{uri}: is no recommender of coldtune")
        read_manifest(found)
        try:
            found.rename(place)
        except OSError:  # another process was quicker
            if not place.is_dir():
                raise
