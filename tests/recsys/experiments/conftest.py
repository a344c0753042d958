"""What the tests of experiments share: listening by taste, and encoders with given embeddings."""

import pandas as pd
import pytest

from datasets.music import MusicDataset
from tests.helpers.known_answers import world


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> MusicDataset:
    """Listening by taste with times; every item has a (blank) recording, as cold splits ask for."""
    folder = tmp_path_factory.mktemp("recordings")
    dataset, _ = world("informative", 0)
    names = dataset.items["item_id"].to_list()
    for name in names:
        (folder / f"{name}.wav").touch()
    audio = pd.DataFrame({"item_id": names, "path": [f"{name}.wav" for name in names]})
    times = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(
        range(len(dataset.interactions)), "h"
    )
    plays = dataset.interactions.sample(frac=1, random_state=0).assign(timestamp=times)
    return MusicDataset(dataset.items, audio, plays, folder)


@pytest.fixture(scope="module")
def unrecorded() -> MusicDataset:
    """The same without recordings, so that nothing is trained."""
    return world("informative", 0)[0]
