"""Why numbers of a run are not to be believed: a network no better than chance, a machine that had other work."""

from collections.abc import Iterable, Mapping
from math import exp, fsum, lgamma, log
from typing import Any

import pandas as pd

from reciprocam_bench.config import BackboneConfig
from reciprocam_bench.runfolder.record import RunRecord

_RARE = 0.005  # at each end of an exact 99 % interval
# Shares of the processors' time, while something was timed, that others may take without a word.
_BUSY, _STOLEN = 0.10, 0.02
_MEANINGLESS = "maps of such a network look convincing and score well, and mean nothing"


def near_chance(right: int, images: int, classes: int) -> bool:
    """Whether ``right`` of ``images`` is what guessing among ``classes`` gives.

    It is where the exact 99 % interval (Clopper-Pearson) of the accuracy holds 1 / classes, and ends below halfway from
    there to 1. So a few images say nothing, whatever they are: with 1,000 classes 0 of 8 is chance, 0 of 7 is not, 1 of
    20 is, 2 of 20 is not; with two classes 20 of 40 is, 65 of 100 is not.
    """
    if classes < 2 or not images:
        return False
    chance = 1 / classes
    at_least = _share(range(right, images + 1), images, chance)
    at_most = _share(range(right + 1), images, (1 + chance) / 2)
    return at_least > _RARE and at_most <= _RARE


def untrained(backbone: BackboneConfig) -> bool:
    """Whether a config asks for random weights; a factory's own are what it made of them."""
    return backbone.weights == "none" and backbone.factory is None


def doubt_of(record: RunRecord, rows: pd.DataFrame, protocol: str) -> str:
    """What a reader must know of a run's network before its tables and pictures; empty where there is nothing.

    ``rows`` are those of ``per_image.csv``. Accuracy is that of the labelled images, under one protocol.
    """
    if untrained(record.config.backbone):
        return f"the weights are random (weights: none): {_MEANINGLESS}"
    labelled = rows[(rows["label"] != "") & (rows["protocol"] == protocol)].drop_duplicates("image")
    classes = record.environment.num_classes
    if told := strange_labels(labelled, classes):
        return told
    right = int((labelled["label"].astype(int) == labelled["predicted"].astype(int)).sum())
    if classes and near_chance(right, len(labelled), classes):
        return f"top-1 is {right} of {len(labelled)}, no better than chance (1 of {classes}): {_MEANINGLESS}"
    return ""


def strange_labels(labelled: pd.DataFrame, classes: int | None) -> str:
    """What a reader must know of labels that are no class of the network; empty where all are."""
    highest = int(labelled["label"].astype(int).max()) if len(labelled) else 0
    if classes is None or highest < classes:
        return ""
    return f"labels reach {highest}, the network has classes 0 to {classes - 1}: not its own, so top-1 is not given"


def busy(machine: Mapping[str, Any]) -> str:
    """What a reader must know of times measured beside other work; empty where there was none, or nothing is known.

    ``machine`` is that of ``environment.json``.
    """
    others, steal = machine.get("others", 0.0), machine.get("steal", 0.0)
    if others <= _BUSY and steal <= _STOLEN:
        return ""
    return (
        f"while timing, other processes used {100 * others:.0f} % of the processors and the host took "
        f"{100 * steal:.0f} %; times are those of a busy machine"
    )


def _share(hits: Iterable[int], images: int, chance: float) -> float:
    """The binomial probability of these numbers of hits; exact also where factorials overflow."""
    ways = lgamma(images + 1)
    return fsum(
        exp(ways - lgamma(k + 1) - lgamma(images - k + 1) + k * log(chance) + (images - k) * log(1 - chance))
        for k in hits
    )
