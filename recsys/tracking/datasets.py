"""A data set as an MLflow input: name, digest, counts, columns and source."""

import json
from typing import TYPE_CHECKING

from datasets.music import MusicDataset

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

_DIGEST = 16
"""Characters of the digest that are logged; stores take at most 36."""


def dataset_input(dataset: MusicDataset, context: str) -> "DatasetInput":
    """Describe a data set as an input of a run.

    The profile has the data set's counts and full digest; the columns are those of the
    interactions. No rows are logged.

    Args:
        dataset: the data set.
        context: what it was used for, such as `training`.
    """
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.dataset_source import DatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.types.utils import _infer_schema

    digest = dataset.digest()
    # A data set not read from a folder was made by the program.
    source: DatasetSource = CodeDatasetSource({"mlflow.source.type": "memory"})
    name = "dataset"
    if dataset.root is not None:
        source = LocalArtifactDatasetSource(str(dataset.root.absolute()))
        name = dataset.root.absolute().name or name
    plays = dataset.interactions.head(100)
    # MLflow calls the class abstract, but it works without a profile.
    meta = MetaDataset(source, name, digest[:_DIGEST], _infer_schema(plays))  # type: ignore[abstract]
    profile = json.dumps({**dataset.summary(), "digest": digest})
    entity = Dataset(**meta.to_dict(), profile=profile)
    return DatasetInput(entity, [InputTag("mlflow.data.context", context)])
