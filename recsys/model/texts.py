"""Tables of texts in a model folder: Arrow files that stay on the disk until a row is wanted."""

from pathlib import Path

import pandas as pd

from datasets.errors import ArtifactError


def write_texts(path: Path, table: pd.DataFrame) -> None:
    """Write a table whose columns are all texts."""
    import pyarrow as pa

    # Large: a column may have more than 2 GiB. One batch: taking rows from several is slow.
    columns = {
        str(name): pa.array(table[name].to_numpy(dtype=object), pa.large_string())
        for name in table.columns
    }
    batch = pa.RecordBatch.from_pydict(columns)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def read_texts(path: Path) -> pd.DataFrame:
    """A table that :func:`write_texts` wrote, memory-mapped.

    To read some rows of a column write ``table[name].iloc[rows]``; whatever makes an array of a
    column first reads all of it. Raises ArtifactError where it cannot be read.
    """
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from None
    return table.to_pandas(types_mapper=pd.ArrowDtype)
