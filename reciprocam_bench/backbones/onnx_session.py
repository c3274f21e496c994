"""Open an ONNX file with ONNX Runtime; what is wrong with one becomes one clear line."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from reciprocam_bench.errors import UserError, in_words
from reciprocam_bench.regular import not_a_file

# What ONNX Runtime says of broken files, and what it means for who gave them.
_MEANINGS = (
    (
        r"external|\.data\b|cannot (open|get file size)|No such file",
        "its weights lie in a file beside it that is not there; put it back",
    ),
    (
        r"not a registered function|No Op registered|Could not find an implementation|custom op|not registered",
        "it has operators that ONNX Runtime does not know; export it with standard ones",
    ),
    (r"protobuf|parsing failed|ModelProto", "it is truncated or no ONNX file; copy or export it again"),
)


def require(*packages: str) -> None:
    """``UserError`` where one of the packages of the extra is missing."""
    for package in packages:
        if find_spec(package) is None:
            raise UserError(f"ONNX needs the package {package}; pip install 'rcam-bench[onnx]'")


def open_session(source: Path | bytes, name: str) -> Any:
    """An ``onnxruntime.InferenceSession`` on the CPU with torch's number of threads, of a file or a model in memory."""
    require("onnxruntime")
    import onnxruntime

    if isinstance(source, Path) and (reason := not_a_file(source)):
        raise UserError(f"{source} {reason}; give an ONNX file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what is wrong is raised too
    try:
        return onnxruntime.InferenceSession(
            str(source) if isinstance(source, Path) else source, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exceptions have no common base
        said = in_words(error)
        meaning = next((m for pattern, m in _MEANINGS if re.search(pattern, said, re.IGNORECASE)), "it cannot be run")
        raise UserError(f"{name}: {meaning} (ONNX Runtime: {said})") from None
