"""What ``auto`` comes to: chosen once, when a run begins, and kept in its folder."""

from dataclasses import replace
from typing import Any

import torch

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.config import Config
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.engine.ranks import this_rank

# On a CPU the cores are busy with one image; larger batches only hold more memory, and lose more where a run is killed.
_MOST_IMAGES = {"cpu": 8}
_MOST_IMAGES_ELSEWHERE = 64
_MOST_WORKERS = 8


def settled(experiment: Experiment, before: Config | None) -> Experiment:
    """The experiment with a number where its config says ``auto``: that of the run before, or one that fits here.

    A run keeps the number on another machine too: values are only those of one run if batches are the same.
    """
    config = experiment.config
    changes: dict[str, Any] = {}
    for key, choose in (("batch_size", batch_size), ("workers", workers)):
        if getattr(config, key) == "auto":
            kept = getattr(before, key, "auto")
            changes[key] = choose(experiment.backbone) if kept == "auto" else kept
    return replace(experiment, config=config.model_copy(update=changes)) if changes else experiment


def batch_size(backbone: Backbone) -> int:
    """The largest power of two whose forward pass fits the memory budget, at most 8 on a CPU and 64 elsewhere.

    A power of two, so that a little more or less free memory makes no difference.
    """
    most = _MOST_IMAGES.get(backbone.device.type, _MOST_IMAGES_ELSEWHERE)
    return 1 << (min(most, backbone.chunk_size()).bit_length() - 1)


def workers(backbone: Backbone) -> int:
    """As many processes as there are cores without work, at most 8: on a CPU those that torch has no thread for.

    Of a machine that several processes of a launch share, each counts its share.
    """
    busy = torch.get_num_threads() if backbone.device.type == "cpu" else 1
    return min(_MOST_WORKERS, max(0, this_rank().cores - busy))
