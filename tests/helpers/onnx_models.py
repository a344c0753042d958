"""Small networks as ONNX files, made on the spot."""

from pathlib import Path
from typing import Any

import numpy as np

RATE = 1000
"""Sample rate that these networks are meant for, Hz."""

SAMPLES = 100
"""Samples of a window, where that is fixed."""


def onnx_file(
    path: Path,
    *,
    shape: tuple[Any, ...] = ("n", SAMPLES),
    outputs: dict[str, tuple[Any, ...]] | None = None,
    nodes: str = "linear",
    dtype: str = "FLOAT",
    input_name: str = "waveform",
    dimension: int = 4,
) -> Path:
    """Write a network to a file.

    Args:
        path: the file.
        shape: of its input; texts are open sizes.
        outputs: shapes by name; {"embedding": ("n", dimension)} by default.
        nodes: what it computes: ``linear``, a matrix product with all samples; ``frames``, of each
            ten samples; ``mean``, the mean, which may have any length; ``nan``, that and NaN;
            ``length``, the samples themselves; ``tags``, linear and two probabilities;
            ``reshaped``, linear as one row of all windows; ``flat``, without rows; ``deep``, with
            four axes.
        dtype: type of its input.
        input_name: name of its input.
        dimension: numbers of an embedding.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = rng.standard_normal((shape[-1] if isinstance(shape[-1], int) else 1, dimension))
    frames = rng.standard_normal((10, dimension))
    scalar = {"axes": [-1], "keepdims": 1}
    # Behind an input of another type or rank all goes on as float [n, samples].
    first = [
        helper.make_node("Cast", [input_name], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["cast", "flat_shape"], ["x"]),
    ]
    last = shape[-1] if isinstance(shape[-1], int) else -1
    rows = -1 if last != -1 else 1 if len(shape) == 1 else 0
    constants = {
        "flat_shape": np.array([rows, last], np.int64),
        "w": weights.astype(np.float32),
        "f": frames.astype(np.float32),
        "by_frame": np.array([0, -1, 10], np.int64),
        "one_row": np.array([1, -1], np.int64),
        "deep_shape": np.array([-1, 1, 1, dimension], np.int64),
        "one_axis": np.array([-1], np.int64),
    }

    def matmul_to(name: str) -> Any:
        return helper.make_node("MatMul", ["x", "w"], [name])

    def reshaped(to: str) -> Any:
        return helper.make_node("Reshape", ["rows", to], ["embedding"])

    matmul = matmul_to("embedding")
    body = {
        "linear": [matmul],
        "frames": [
            helper.make_node("Reshape", ["x", "by_frame"], ["framed"]),
            helper.make_node("MatMul", ["framed", "f"], ["embedding"]),
        ],
        "mean": [
            helper.make_node("ReduceMean", ["x"], ["m"], **scalar),
            helper.make_node("Abs", ["m"], ["a"]),
            helper.make_node("Concat", ["m", "a"], ["embedding"], axis=-1),
        ],
        "nan": [
            helper.make_node("ReduceMean", ["x"], ["m"], **scalar),
            helper.make_node("Sub", ["m", "m"], ["z"]),
            helper.make_node("Div", ["z", "z"], ["q"]),
            helper.make_node("Concat", ["m", "q"], ["embedding"], axis=-1),
        ],
        "length": [helper.make_node("Identity", ["x"], ["embedding"])],
        "tags": [
            matmul,
            helper.make_node("ReduceMean", ["x"], ["m"], **scalar),
            helper.make_node("Neg", ["m"], ["o"]),
            helper.make_node("Concat", ["m", "o"], ["logits"], axis=-1),
        ],
        "reshaped": [matmul_to("rows"), reshaped("one_row")],
        "deep": [matmul_to("rows"), reshaped("deep_shape")],
        "flat": [matmul_to("rows"), reshaped("one_axis")],
    }[nodes]
    described = {"embedding": ("n", dimension)} if outputs is None else outputs
    graph = helper.make_graph(
        [*first, *body],
        "small",
        [helper.make_tensor_value_info(input_name, getattr(TensorProto, dtype), shape)],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, own)
            for name, own in described.items()
        ],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path
