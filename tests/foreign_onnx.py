"""ONNX files of other programs, made by hand."""

from pathlib import Path

import numpy as np


def write(path: Path, nodes: list, shape: list, weights: dict | None = None, outputs: dict | None = None) -> Path:
    """A model of ``x`` (``shape``) with the given nodes and outputs."""
    import onnx

    h, value = onnx.helper, onnx.helper.make_tensor_value_info
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    outs = [value(name, onnx.TensorProto.FLOAT, s) for name, s in (outputs or {"y": [shape[0], 2]}).items()]
    graph = h.make_graph(nodes, "foreign", [value("x", onnx.TensorProto.FLOAT, shape)], outs, tensors)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17), h.make_opsetid("mine", 1)], ir_version=8)
    onnx.save(model, path)
    return path


def foreign(path: Path, batch: object = "N", side: object = 16) -> Path:
    """Mean of each channel, and two logits of them; feature maps are an output of their own name."""
    from onnx.helper import make_node as make

    nodes = [
        make("Relu", ["x"], ["maps_inside"]),
        make("GlobalAveragePool", ["maps_inside"], ["pooled"]),
        make("Flatten", ["pooled"], ["flat"]),
        make("MatMul", ["flat", "w"], ["y"]),
    ]
    weights = {"w": np.array([[1, 0], [0, 1], [1, -1]], np.float32)}
    outputs = {"y": [batch, 2], "maps_inside": [batch, 3, side, side]}
    return write(path, nodes, [batch, 3, side, side], weights, outputs)
