"""A data set as MLflow knows one: name, digest, profile, columns, and where it came from."""

import json
from typing import TYPE_CHECKING

from datasets.music import MusicDataset

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

_DIGEST = 16
"""Characters of the digest: a store has room for 36."""


def dataset_input(dataset: MusicDataset, context: str) -> "DatasetInput":
    """A data set as an input of a run.

    context: what it was used for, as ``training``. The profile has the counts of the data set and
    its whole digest; the columns are those of the interactions. Nothing of its rows is logged.
    """
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.dataset_source import DatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.types.utils import _infer_schema

    digest = dataset.digest()
    # A data set that was not read from a folder was made by the program.
    source: DatasetSource = CodeDatasetSource({"mlflow.source.type": "memory"})
    name = "dataset"
    if dataset.root is not None:
        source = LocalArtifactDatasetSource(str(dataset.root.absolute()))
        name = dataset.root.absolute().name or name
    plays = dataset.interactions.head(100)
    # MLflow's base class lets it be made without a profile.
    meta = MetaDataset(source, name, digest[:_DIGEST], _infer_schema(plays))  # type: ignore[abstract]
    profile = json.dumps({**dataset.summary(), "digest": digest})
    entity = Dataset(**meta.to_dict(), profile=profile)
    return DatasetInput(entity, [InputTag("mlflow.data.context", context)])
