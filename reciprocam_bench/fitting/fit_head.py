"""Fit a linear multi-label head on a frozen backbone: what ``rcam-bench fit-head`` does."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.backbones.fitted_head import pooled_features, save_linear_head
from reciprocam_bench.config import Config, DatasetConfig
from reciprocam_bench.datasets.dataset import Dataset
from reciprocam_bench.datasets.images import Preparation, PreparedImages, preparation
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.engine.allocator import keep_freed_memory
from reciprocam_bench.engine.environment import set_up_torch
from reciprocam_bench.engine.experiment import set_up_backbone
from reciprocam_bench.engine.progress import Progress
from reciprocam_bench.errors import UserError
from reciprocam_bench.fitting.fit_linear import Fitted, fit_linear
from reciprocam_bench.protocols.protocol import load_protocol

_PART = 64  # images a cache file


def fit_head(config: Config, output: Path, *, quiet: bool, say: Callable[..., None]) -> dict[str, float]:
    """Cache pooled features, fit the head, save it at ``output``; returns held-out mAP and prior (percent).

    The features lie in ``<output>.features/``, a file for every 64 images: a stopped run keeps them.
    """
    if config.backbone.head or config.backbone.multi_label:
        raise UserError("fit-head: the config already has a multi-label head; remove backbone.head and multi_label")
    keep_freed_memory()
    protocol = load_protocol(config.protocol[0])
    device = set_up_torch(config)
    dataset = _training_set(config)
    assert dataset.categories is not None
    backbone = set_up_backbone(config, protocol, device)
    prepare = preparation(protocol.preprocess, backbone.preprocessing, config.preprocess == "model")
    say(f"{backbone.name}, layer {backbone.layer}; {len(dataset.samples)} images of {dataset.name}")
    features, kept = cached_features(backbone, dataset, prepare, output.with_suffix(".features"), quiet)
    labels = multi_hot(dataset)[kept]
    fitted = fit_linear(features, labels, config.fit_head, config.seed, quiet)
    about = {
        "model": backbone.name,
        "layer": backbone.layer,
        "dataset": dataset.name,
        "protocol": protocol.name,
        "images": str(len(features)),
        "categories": ",".join(dataset.categories),
        "held_out_map": f"{fitted.mean_ap:.4f}",
        "weights_sha256": backbone.weights.get("sha256", backbone.weights.get("source", "")),
    }
    save_linear_head(output, fitted.weight, fitted.bias, about)
    _describe(fitted, dataset.categories, say)
    return {"map": 100 * fitted.mean_ap, "prior": 100 * fitted.prior, "epochs": fitted.epochs}


def multi_hot(dataset: Dataset) -> Tensor:
    """Labels ``(N, K)``: 1 present, 0 absent, NaN where every object of the category is difficult (not used)."""
    assert dataset.categories is not None
    labels = torch.zeros(len(dataset.samples), len(dataset.categories))
    for row, sample in zip(labels, dataset.samples, strict=True):
        for target in sample.targets:
            row[target.index] = torch.nan if target.difficult else 1.0
    return labels


def cached_features(
    backbone: Backbone, dataset: Dataset, prepare: Preparation, folder: Path, quiet: bool = False
) -> tuple[Tensor, list[int]]:
    """Pooled features ``(M, C)`` of the readable images, and their places in the data set.

    Parts that are in ``folder`` already are read, not computed; those of another network, layer, or image list are
    replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(backbone, dataset, prepare)
    stamp = folder / "of.json"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != key:
        for old in folder.glob("part_*.safetensors"):
            old.unlink()
        stamp.write_text(key, encoding="utf-8")
    features, kept = [], []
    with Progress(len(dataset.samples), "images", "features", quiet=quiet) as progress:
        for start in range(0, len(dataset.samples), _PART):
            paths = [str(s.path) for s in dataset.samples[start : start + _PART]]
            part = _read_part(folder / f"part_{start // _PART:05d}.safetensors")
            if part is None:
                part = _compute_part(backbone, paths, prepare, progress.advance)
                _write_part(folder / f"part_{start // _PART:05d}.safetensors", part)
            else:
                progress.advance(len(paths))
            features.append(part["features"])
            kept += [start + i for i in part["kept"].tolist()]
    if not kept:
        raise UserError(f"none of the images of {dataset.name} could be read")
    return torch.cat(features), kept


def _training_set(config: Config) -> Dataset:
    wanted, split = config.dataset, config.fit_head.split
    if split is None:
        dataset = load_dataset(wanted, config.limit, config.seed)
    else:
        key = "split" if wanted.name == "voc" else "annotations"
        # A subset is one of the split that is judged.
        other = DatasetConfig.model_validate(wanted.model_dump() | {key: split, "subset": None})
        try:
            dataset = load_dataset(other, config.limit, config.seed)
        except UserError as error:
            raise UserError(str(error).replace(f"dataset.{key}", "fit_head.split")) from None
    if dataset.categories is None:
        raise UserError(f"fit-head: data set '{dataset.name}' has one label an image; it needs categories (voc, coco)")
    if len(dataset.samples) < 8:
        raise UserError(f"fit-head: {len(dataset.samples)} images are too few to fit and hold out")
    return dataset


def _key(backbone: Backbone, dataset: Dataset, prepare: Preparation) -> str:
    files = "\n".join(f"{s.id} {_state(s.path)}" for s in dataset.samples)
    images = hashlib.sha256(files.encode("utf-8", "surrogateescape")).hexdigest()
    weights = backbone.weights.get("sha256", backbone.weights.get("source", ""))
    precision = backbone.arithmetic.precision
    other = [] if precision == "float32" else [precision]
    return json.dumps([backbone.name, backbone.layer, weights, str(prepare), dataset.name, images, *other])


def _state(path: Path) -> str:
    """Size and time of change of a file, which tell it from another of its name."""
    try:
        found = path.stat()
    except OSError:
        return "none"
    return f"{found.st_size} {found.st_mtime_ns}"


def _compute_part(
    backbone: Backbone, paths: list[str], prepare: Preparation, advance: Callable[[float], None]
) -> dict[str, Tensor]:
    features, kept = [], []
    # Images may differ in shape, so each is a batch of its own.
    for i, item in enumerate(DataLoader(PreparedImages(paths, prepare), batch_size=None)):
        if not isinstance(item, str):
            features.append(pooled_features(backbone, item[0][None]).cpu())
            kept.append(i)
        advance(1)
    rows = torch.cat(features) if features else torch.zeros(0, backbone.feature_shape[0])
    return {"features": rows, "kept": torch.tensor(kept, dtype=torch.int64)}


def _read_part(path: Path) -> dict[str, Tensor] | None:
    try:
        return load_file(str(path))
    except (FileNotFoundError, SafetensorError):
        return None


def _write_part(path: Path, part: dict[str, Tensor]) -> None:
    partial = path.with_suffix(".part")
    try:
        save_file(part, str(partial))
        partial.replace(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{partial} cannot be written ({error}); free the disk, or give --output another file"
        ) from None


def _describe(fitted: Fitted, categories: tuple[str, ...], say: Callable[..., None]) -> None:
    say(f"held-out mAP {100 * fitted.mean_ap:.1f} % after {fitted.epochs} epochs (prior {100 * fitted.prior:.1f} %)")
    of_class = zip(categories, fitted.average_precision, strict=True)
    known = [f"{name} {100 * ap:.0f}" for name, ap in of_class if not np.isnan(ap)]
    say(f"average precision in percent: {', '.join(known)}")
