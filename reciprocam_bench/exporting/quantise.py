"""int8 by ONNX Runtime's own static quantiser, calibrated on real images."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import Tensor

from reciprocam_bench.backbones.file_metadata import FEATURES
from reciprocam_bench.errors import UserError, in_words


def quantised(source: Path, batches: Iterable[dict[str, Tensor]], outputs: list[str]) -> Any:
    """The ONNX model of a float32 file with int8 weights and 8-bit activations up to its output ``features``.

    What lies behind them, head and maps, stays float32: it costs little, and 8 bits cannot hold the small
    probabilities that a map is made of. Weights are int8 for each output channel, activations uint8 from the smallest
    to the largest value that the calibration images show, which is what ONNX Runtime advises for x86 processors.

    Args:
        source: the file; ``features`` must be one of its outputs.
        batches: its inputs by name, of the images to calibrate on.
        outputs: those that the new model keeps.

    Returns:
        An ``onnx.ModelProto``.

    Raises:
        UserError: for a network that the quantiser cannot take.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._arrays = _arrays(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._arrays, None)

    model = onnx.load(source)
    with TemporaryDirectory() as folder:
        # The quantiser writes beside what it reads.
        whole, target = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, whole)
        try:
            quantize_static(
                whole,
                target,
                Reader(),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=_behind(model.graph, FEATURES),
            )
        except Exception as error:  # its exceptions have no common base
            raise UserError(f"the network cannot be quantised: ONNX Runtime says {in_words(error)}") from None
        made = onnx.load(target)
    for output in [value for value in made.graph.output if value.name not in outputs]:
        made.graph.output.remove(output)
    return made


def _arrays(batches: Iterable[dict[str, Tensor]]) -> Iterator[dict[str, np.ndarray]]:
    for batch in batches:
        yield {name: tensor.numpy() for name, tensor in batch.items()}


def _behind(graph: Any, tensor: str) -> list[str]:
    """The names of the nodes that are computed from a tensor."""
    reached, names = {tensor}, []
    for node in graph.node:  # each comes after those it reads
        if reached & set(node.input):
            reached |= set(node.output)
            names.append(node.name)
    return names
