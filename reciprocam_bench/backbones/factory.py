"""A network of one's own: a function that makes it, named in the config as ``package.module:function``."""

import contextlib
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from reciprocam_bench.backbones.backbone import Backbone, Preprocessing
from reciprocam_bench.backbones.freeze import ModelInfo
from reciprocam_bench.backbones.load import split_loaded, timm_preprocessing
from reciprocam_bench.backbones.weights import load_file_into
from reciprocam_bench.errors import UserError, did_you_mean, in_words
from reciprocam_bench.variables import expanded


def load_factory(
    factory: str,
    options: dict[str, Any] | None = None,
    weights: str = "default",
    layer: str = "auto",
    device: str | torch.device = "cpu",
    *,
    model: str | None = None,
    image_size: int | None = None,
    fold: bool = True,
    multi_label: bool = False,
    preprocessing: dict[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
) -> Backbone:
    """Call ``package.module:function`` with ``options``, and split the module it returns at ``layer``.

    Args:
        factory: the function; modules of the working folder can be named too.
        options: its keyword arguments.
        weights: ``default`` or ``none`` for those the function made, or a file, loaded strictly.
        layer: as in `split_backbone`.
        device: where it runs.
        model: the name in tables; ``factory`` if left out.
        image_size: side of the images that will be explained, in pixels.
        fold: fold batch norms where exact.
        multi_label: the outputs do not exclude one another: probabilities are sigmoids.
        preprocessing: attributes of `Preprocessing` that are not those timm knows of its model, or the default.
        class_names: a name for each output.

    Raises:
        UserError: for a function that is not there, fails, or returns no module, and weights that do not fit.
    """
    name = model or factory
    module = _made(factory, options or {})
    # A model of timm's knows how it wants its images.
    known = isinstance(getattr(module, "pretrained_cfg", None), dict)
    wanted = replace(timm_preprocessing(module) if known else Preprocessing(), **(preprocessing or {}))
    if weights in ("default", "none"):
        record = {"source": factory, "sha256": _digest(module)}
    else:
        record = load_file_into(module, expanded(weights), name) | {"factory": factory}
    info = ModelInfo(name, wanted, record, multi_label, None if class_names is None else tuple(class_names))
    return split_loaded(module, info, layer, device, image_size=image_size, fold=fold)


def _made(factory: str, options: dict[str, Any]) -> nn.Module:
    with _working_folder_first():
        function = _function(factory)
        try:
            module = function(**options)
        except (Exception, SystemExit) as error:  # it is the user's code
            given = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "no options"
            raise UserError(f"backbone.factory: {factory} failed with {given}: {in_words(error)}") from error
    if not isinstance(module, nn.Module):
        kind = type(module).__name__
        raise UserError(f"backbone.factory: {factory} must return a torch.nn.Module; it returned a {kind}")
    empty = [name for name, p in module.named_parameters() if p.is_meta or isinstance(p, UninitializedParameter)]
    if empty:
        raise UserError(
            f"backbone.factory: {factory} returned a module whose '{empty[0]}' has no values; fill it first"
        )
    return module


def _function(factory: str) -> Callable[..., Any]:
    place, colon, name = factory.partition(":")
    if not colon or not place or not name:
        raise UserError(f"backbone.factory: '{factory}' must be written package.module:function")
    try:
        module = importlib.import_module(place)
    except (Exception, SystemExit) as error:  # importing runs the user's code
        missing = isinstance(error, ModuleNotFoundError) and f"{place}.".startswith(f"{error.name}.")
        if missing:
            raise UserError(
                f"backbone.factory: there is no module '{place}' in the working folder or among the installed ones"
            ) from None
        raise UserError(f"backbone.factory: importing '{place}' failed: {in_words(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        known = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise UserError(f"backbone.factory: '{place}' has no function '{name}'{did_you_mean(name, known)}")
    if inspect.isbuiltin(function):  # os:abort would end the process before it could be judged
        raise UserError(f"backbone.factory: {factory} is a function of Python's own, which makes no network")
    return function


@contextlib.contextmanager
def _working_folder_first() -> Iterator[None]:
    """Import from the working folder too, as ``python -m`` does and a console script does not."""
    before, folder = list(sys.path), str(Path.cwd())
    importlib.invalidate_caches()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path and folder not in before:
            sys.path.remove(folder)
        else:
            sys.path[:] = before


def _digest(module: nn.Module) -> str:
    """SHA-256 of the weights, so that a run is not resumed with others."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
