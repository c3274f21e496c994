"""Bad ONNX files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_kinds import Kind, refusal
from foreign_onnx import foreign, write

from reciprocam_bench.backbones.onnx_file import load_onnx

WANTS = {"mean": (0.5,) * 3, "std": (0.5,) * 3}


def file(what: str, told: str, make: Callable[[Path], object], **given: Any) -> Kind:
    """A file ``m.onnx``, described as images of 16 pixels unless ``given`` says otherwise."""

    def tell(folder: Path) -> str:
        for package in ("onnx", "onnxruntime"):
            pytest.importorskip(package)
        make(folder / "m.onnx")
        return refusal(lambda: load_onnx("onnx:m.onnx", **({"preprocessing": WANTS} | given)))

    return Kind(what, rf"(onnx:)?m\.onnx:? {told}", tell)


def one(kind: str, shape: list[Any], output: list[Any] | None = None, **attributes: Any) -> Callable[[Path], object]:
    """A file of one operator, from ``x`` of this shape to ``y``."""

    def make(path: Path) -> None:
        from onnx.helper import make_node

        write(path, [make_node(kind, ["x"], ["y"], **attributes)], shape, None, {"y": output or shape})

    return make


def two_inputs(path: Path) -> None:
    import onnx

    model = onnx.load(foreign(path))
    model.graph.input.append(onnx.helper.make_tensor_value_info("scale", onnx.TensorProto.FLOAT, [1]))
    onnx.save(model, path)


def of_bytes(path: Path) -> None:
    import onnx

    model = onnx.load(foreign(path))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["x"], ["as_float"], to=onnx.TensorProto.FLOAT))
    model.graph.node[1].input[0] = "as_float"
    onnx.save(model, path)


def cut(path: Path) -> None:
    path.write_bytes(foreign(path).read_bytes()[:-100])


def outside(path: Path) -> None:
    """Weights in a file beside it, which is lost."""
    import onnx

    model = onnx.load(foreign(path))
    weights = np.zeros((3, 2), np.float32)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    (path.parent / "m.data").unlink()


def holds(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


NONE = "it is truncated or no ONNX file; copy or export it again"
ONNX = [
    file("without metadata, and not described", "it has no metadata of rcam-bench", foreign, preprocessing=None),
    file("an input of another rank", r"its input 'x' is \(N, 2\); images", one("Identity", ["N", 2])),
    file("images of whole numbers", r"its input 'x' is a tensor\(uint8\); float32 images", of_bytes),
    file("two inputs", r"it has 2 inputs \(x, scale\); images alone", two_inputs),
    file("maps and no logits", r"one output must be logits \(N, K\)", one("Relu", [1, 3, 8, 8])),
    file(
        "operators of its own",
        "it has operators that ONNX Runtime does not know",
        one("Mine", [1, 3, 8, 8], [1, 2], domain="mine"),
    ),
    file("a file cut short", NONE, cut),
    file("text", NONE, holds(b"not a model\n" * 20)),
    file("an empty file", NONE, holds(b"")),
    file("weights in a file that is lost", "its weights lie in a file beside it that is not there", outside),
    file("images of another size", "it takes images of 16x16 pixels, not 32", foreign, image_size=32),
    file("a layer that is no output", "layer 'layer4' is no output of feature maps", foreign, layer="layer4"),
    file("a GPU", "ONNX Runtime is used on the CPU here", foreign, device="cuda"),
    file("a folder", "is a folder; give an ONNX file", Path.mkdir),
]
GROUPS = {"ONNX files": ONNX}
