"""Open an ONNX file with ONNX Runtime; what is wrong with one becomes one clear line."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reciprocam_bench.errors import UserError, in_words
from reciprocam_bench.regular import not_a_file

# What ONNX Runtime says of broken files, and what it means for who gave them; its own words where they add something.
_MEANINGS = (
    (
        r"external|\.data\b|cannot (open|get file size)|No such file",
        "its weights lie in a file beside it that is not there; put it back",
    ),
    (
        r"not a registered function|No Op registered|Could not find an implementation|custom op|not registered",
        "it has operators that ONNX Runtime does not know; export it with standard ones (ONNX Runtime: {said})",
    ),
    (r"protobuf|parsing failed|ModelProto", "it is truncated or no ONNX file; copy or export it again"),
)
_UNKNOWN = "it cannot be run (ONNX Runtime: {said})"


def require(*packages: str) -> None:
    """``UserError`` where one of the packages of the extra is missing."""
    for package in packages:
        if find_spec(package) is None:
            raise UserError(f"ONNX needs the package {package}; pip install 'rcam-bench[onnx]'")


@dataclass(frozen=True)
class OnnxSession:
    """An ONNX model that can be run.

    Attributes:
        name: in messages.
        path: the file.
        inputs: ONNX Runtime's description (name, shape, type) of each, by name; sides that are free are no integers.
        outputs: the same.
        metadata: what the file says of itself.
    """

    name: str
    path: Path
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    metadata: dict[str, str]
    _session: Any

    def __deepcopy__(self, memo: dict[int, Any]) -> "OnnxSession":
        return self  # it has no state

    def run(self, inputs: dict[str, Tensor], output: str) -> Tensor:
        """One output; see `run_for`."""
        return self.run_for(inputs, [output])[0]

    def run_for(self, inputs: dict[str, Tensor], outputs: Sequence[str]) -> list[Tensor]:
        """The named outputs, and nothing else computed; in batches of the file's own size where it has one."""
        count = next(iter(inputs.values())).shape[0]
        fixed = next(iter(self.inputs.values())).shape[0]
        size = fixed if isinstance(fixed, int) and fixed > 0 else count
        arrays = {name: tensor.detach().contiguous().numpy() for name, tensor in inputs.items()}
        parts = []
        for start in range(0, count, size):
            rows = np.minimum(np.arange(start, start + size), count - 1)  # the last batch is filled up
            batch = {name: array if size == count else array[rows] for name, array in arrays.items()}
            parts.append(self._session.run(list(outputs), batch, _only_what_is_asked()))
        return [torch.from_numpy(np.concatenate(several)[:count]) for several in zip(*parts, strict=True)]


def _only_what_is_asked() -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.only_execute_path_to_fetches = True
    return options


def open_session(path: Path, name: str) -> OnnxSession:
    """A file opened on the CPU with torch's number of threads; ``UserError`` for one that cannot be run."""
    require("onnxruntime")
    if reason := not_a_file(path):
        raise UserError(f"{path} {reason}; give an ONNX file")
    return _opened(str(path), path, name)


def session_of_part(whole: OnnxSession, start: str, images: str, end: str) -> OnnxSession:
    """What a file computes between two of its outputs, as a model of its own; ``UserError`` where that is none.

    It may take the images too: exporters read the number of maps from theirs.
    """
    require("onnx")
    import onnx
    from onnx.utils import Extractor

    model = onnx.load(whole.path)
    # The extractor looks for tensors among the inner ones.
    model.graph.value_info.extend(value for value in model.graph.output if value.name == start)
    try:
        part = Extractor(model).extract_model([start, images], [end])
        used = {name for node in part.graph.node for name in node.input}
        if start not in used:
            raise ValueError(f"{end} does not depend on {start}")
        if images not in used:
            part.graph.input.remove(next(value for value in part.graph.input if value.name == images))
        return _opened(part.SerializeToString(), whole.path, whole.name)
    except Exception as error:  # a graph can be cut wrongly in every way there is
        raise UserError(
            f"{whole.name}: '{end}' cannot be had from '{start}' ({in_words(error)}); set layer: image"
        ) from None


def _opened(source: str | bytes, path: Path, name: str) -> OnnxSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what is wrong is raised too
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        said = in_words(error)
        meaning = next((m for pattern, m in _MEANINGS if re.search(pattern, said, re.IGNORECASE)), _UNKNOWN)
        raise UserError(f"{name}: {meaning.format(said=said)}") from None
    inputs, outputs = ({v.name: v for v in values} for values in (session.get_inputs(), session.get_outputs()))
    return OnnxSession(name, path, inputs, outputs, dict(session.get_modelmeta().custom_metadata_map), session)
