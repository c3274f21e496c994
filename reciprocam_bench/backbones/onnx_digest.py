"""The identity of an ONNX file: of its graph and of the weights that lie in files beside it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reciprocam_bench.backbones.onnx_session import require


def digest_of(path: Path) -> str:
    """The SHA-256 of a readable ONNX file; where weights lie in files beside it, of these behind it, too."""
    whole = hashlib.sha256(path.read_bytes())
    for name in weight_files(path):
        with (path.parent / name).open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def weight_files(path: Path) -> list[str]:
    """The names of the files beside an ONNX file that it has weights in, in order."""
    require("onnx")
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # ONNX Runtime's own format, which holds its weights
        return []
    nodes = [node for function in model.functions for node in function.node]
    tensors = [*_of_graph(model.graph), *_of_nodes(nodes)]
    outside = [tensor for tensor in tensors if tensor.data_location == onnx.TensorProto.EXTERNAL]
    return sorted({entry.value for tensor in outside for entry in tensor.external_data if entry.key == "location"})


def _of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Any) -> Iterator[Any]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for graph in (attribute.g, *attribute.graphs):  # branches and loops
            yield from _of_graph(graph)
