"""An ONNX file as a backbone: called through ONNX Runtime, split where its feature maps are an output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from reciprocam_bench.backbones.backbone import Backbone, Preprocessing
from reciprocam_bench.backbones.file_metadata import CLASSES, FEATURES, KEY, LOGITS, MAPS, FileMetadata, read_metadata
from reciprocam_bench.backbones.freeze import IMAGE
from reciprocam_bench.backbones.onnx_digest import digest_of
from reciprocam_bench.backbones.onnx_session import OnnxSession, open_session, session_of_part
from reciprocam_bench.backbones.split import split_backbone
from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.variables import expanded

PREFIX = "onnx:"


def load_onnx(
    model: str,
    layer: str = "auto",
    device: str | torch.device = "cpu",
    *,
    weights: str = "default",
    image_size: int | None = None,
    multi_label: bool = False,
    preprocessing: dict[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
) -> Backbone:
    """Open ``onnx:PATH`` with ONNX Runtime; a file of ``rcam-bench export`` says itself how it wants its images.

    Methods without gradients can explain it. It is split where the feature maps are an output: Score-CAM and
    Recipro-CAM's batched head work on such files.

    Args:
        model: ``onnx:`` and the file's path.
        layer: ``auto`` for the output ``features`` if there is one and the logits are made of it alone, else the image;
            an output of feature maps; or ``image``.
        device: the CPU.
        weights: left out: the file holds them.
        image_size: side of the images that will be explained, in pixels.
        multi_label: the outputs do not exclude one another; a file's metadata may say so too.
        preprocessing: attributes of `Preprocessing`, for files without metadata or in place of it.
        class_names: a name for each output; the metadata's if left out.

    Raises:
        UserError: for what is no readable classifier of images, and for one that does not say what it wants.
    """
    path = expanded(model.removeprefix(PREFIX))
    name = f"{PREFIX}{path.name}"
    if str(device).partition(":")[0] != "cpu":
        raise UserError(f"{name}: ONNX Runtime is used on the CPU here; set device: cpu")
    if weights not in ("default", "none"):
        raise UserError(f"{name}: an ONNX file holds its weights; leave backbone.weights out")
    session = open_session(path, str(path))
    text = session.metadata.get(KEY)
    metadata = read_metadata(text, str(path)) if text else None
    images = _images_input(session, metadata)
    wanted = _wanted(session, metadata, images, preprocessing or {}, image_size)
    size = image_size or wanted.crop
    logits = _logits_output(session)
    names = class_names or (metadata.class_names if metadata else None)
    network = split_backbone(
        lambda x: session.run({images: x} | _any_class(session, x), logits),
        torch.randn(2, len(wanted.mean), size, size, generator=torch.Generator().manual_seed(0)),
        IMAGE,
        name=name,
        preprocessing=wanted,
        weights={"source": path.name, "sha256": digest_of(path)},
        multi_label=multi_label or bool(metadata and metadata.multi_label),
        class_names=names,
    )
    maps = _Maps(session, metadata, images).of if metadata and MAPS in session.outputs else None
    network = replace(network, differentiable=False, own_maps=maps)
    features = _features_output(session, metadata, layer)
    if features is None:
        return network
    try:
        return _split(network, session, metadata, images, features, logits, size)
    except UserError:
        if layer != "auto":
            raise
        return network  # a transformer's class token, say, goes past the maps


def _any_class(session: OnnxSession, images: Tensor) -> dict[str, Tensor]:
    """A value for the classes that maps are asked of, where only logits are."""
    return {CLASSES: torch.zeros(images.shape[0], dtype=torch.int64)} if CLASSES in session.inputs else {}


def _images_input(session: OnnxSession, metadata: FileMetadata | None) -> str:
    known = [CLASSES] if metadata else []
    inputs = [name for name in session.inputs if name not in known]
    if len(inputs) != 1:
        raise UserError(f"{session.name}: it has {len(inputs)} inputs ({', '.join(inputs)}); images alone are wanted")
    value = session.inputs[inputs[0]]
    if len(value.shape) != 4:
        raise UserError(
            f"{session.name}: its input '{inputs[0]}' is {_words(value.shape)}; images (N, C, H, W) are wanted"
        )
    if value.type != "tensor(float)":
        raise UserError(f"{session.name}: its input '{inputs[0]}' is a {value.type}; float32 images are wanted")
    return inputs[0]


def _logits_output(session: OnnxSession) -> str:
    if LOGITS in session.outputs:
        return LOGITS
    flat = [name for name, value in session.outputs.items() if len(value.shape) == 2]
    if len(flat) != 1:
        shapes = ", ".join(f"{name} {_words(value.shape)}" for name, value in session.outputs.items())
        raise UserError(f"{session.name}: one output must be logits (N, K), or be called logits; it has {shapes}")
    return flat[0]


def _wanted(
    session: OnnxSession, metadata: FileMetadata | None, images: str, given: dict[str, Any], size: int | None
) -> Preprocessing:
    """How the file wants its images, and that it takes those of the size asked for."""
    if metadata is None and "mean" not in given:
        raise UserError(
            f"{session.name}: it has no metadata of rcam-bench; say how it wants its images, with backbone.mean and "
            "backbone.std, and backbone.size if the file takes any"
        )
    height, width = session.inputs[images].shape[2:]
    fixed: dict[str, Any] = {"resize": height, "crop": height} if isinstance(height, int) else {}
    wanted = replace(metadata.wanted() if metadata else Preprocessing(**fixed), **given)
    asked = size or wanted.crop
    if any(isinstance(side, int) and side != asked for side in (height, width)):
        raise UserError(
            f"{session.name}: it takes images of {height}x{width} pixels, not {asked}; set preprocess: model, or "
            "export it for that size"
        )
    return wanted


def _features_output(session: OnnxSession, metadata: FileMetadata | None, layer: str) -> str | None:
    if layer == IMAGE or (layer == "auto" and FEATURES not in session.outputs):
        return None
    if layer == "auto" or (metadata and layer == metadata.layer and FEATURES in session.outputs):
        return FEATURES
    maps = [name for name, value in session.outputs.items() if len(value.shape) == 4 and name != MAPS]
    if layer not in maps:
        hint = did_you_mean(layer, maps)
        raise UserError(f"{session.name}: layer '{layer}' is no output of feature maps{hint}; image needs none")
    return layer


def _words(shape: Sequence[Any]) -> str:
    return f"({', '.join(str(side if side is not None else '?') for side in shape)})"


@dataclass(frozen=True)
class _Maps:
    """The maps that an exported file gives itself."""

    session: OnnxSession
    metadata: FileMetadata
    images: str

    def of(self, images: Tensor, classes: Tensor) -> Tensor:
        """Maps ``(N, h, w)`` of the classes ``(N,)``; ``ValueError`` for classes whose maps the file does not give."""
        held = self.metadata.classes
        inputs = {self.images: images}
        if held == "input":
            return self.session.run(inputs | {CLASSES: classes}, MAPS)
        if held == "predicted":
            logits, maps = self.session.run_for(inputs, [LOGITS, MAPS])
            if not torch.equal(logits.argmax(1), classes):
                raise ValueError("the file gives maps of the predicted class alone; export it with --classes input")
            return maps
        places = range(self.session.outputs[MAPS].shape[1]) if held == "all" else held
        wanted = [index for index in classes.tolist() if index not in places]
        if wanted:
            raise ValueError(f"the file gives no map of class {wanted[0]}; export it with --classes input")
        rows = torch.tensor([list(places).index(index) for index in classes.tolist()])
        return self.session.run(inputs, MAPS)[torch.arange(len(rows)), rows]


class _Part(nn.Module):
    """A half of a file. Copies share the session: it has no state."""

    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._call = [call]

    def forward(self, tensor: Tensor) -> Tensor:
        return self._call[0](tensor)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Part":
        return _Part(self._call[0])


def _split(
    network: Backbone,
    session: OnnxSession,
    metadata: FileMetadata | None,
    images: str,
    features: str,
    logits: str,
    size: int,
) -> Backbone:
    """Split the file at an output of feature maps: what lies between them and the logits is a model of its own."""
    behind = session_of_part(session, features, images, logits)
    shape = len(network.preprocessing.mean), size, size

    def classify(maps: Tensor) -> Tensor:
        # Black images, for their number: logits that are made of more of them show themselves below.
        black = {images: torch.zeros(maps.shape[0], *shape)} if images in behind.inputs else {}
        return behind.run({features: maps} | black, logits)

    head = _Part(classify)
    encode = _Part(lambda x: session.run({images: x} | _any_class(session, x), features))
    example = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    maps, expected = encode(example), network(example)
    error = float((head(maps) - expected).abs().max())
    if not error <= 1e-3 * float(expected.abs().max()):
        raise UserError(f"{session.name}: its logits are not made of '{features}' alone; set layer: image")
    return replace(
        network,
        features=encode,
        head=head,
        layer=metadata.layer if metadata and features == FEATURES else features,
        split="graph",
        split_error=error,
        feature_shape=(maps.shape[1], maps.shape[2], maps.shape[3]),
    )
