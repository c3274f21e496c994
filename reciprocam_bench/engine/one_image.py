"""Explain one picture: each class that is asked about, by each method."""

import time
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from reciprocam_bench.datasets.images import Picture
from reciprocam_bench.engine.panels import top_classes
from reciprocam_bench.engine.subject import Subject
from reciprocam_bench.errors import UserError, in_words
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.metrics.evidence import Evidence

_QUICK = 0.2  # seconds


NO_ANSWER = "the network's logits are NaN or infinite for it"


class NoAnswer(Exception):
    """The network gives a picture no probabilities."""


@dataclass(frozen=True)
class Shown:
    """One method's map of one class.

    Attributes:
        class_index: the class explained.
        method: the method's title.
        raw: its raw map, ``(h, w)``, on the CPU.
        seconds: what the explainer took, beside the forward pass that all share; one or two calls, so no benchmark.
        status: ``ok``, ``constant`` or ``nan``.
        scores: values of the metrics as fractions, by column; None where there is none.
    """

    class_index: int
    method: str
    raw: Tensor
    seconds: float
    status: str
    scores: dict[str, float | None]


@dataclass(frozen=True)
class Explained:
    """What a network says of a picture, and what its methods show.

    Attributes:
        probabilities: of all classes, ``(K,)``.
        top: the best classes with their probabilities, the best first.
        classes: the classes explained.
        shown: the maps.
        failed: why methods gave none, by title.
    """

    probabilities: Tensor
    top: list[tuple[int, float]]
    classes: list[int]
    shown: list[Shown]
    failed: dict[str, str]


def explain_picture(subject: Subject, picture: Picture) -> Explained:
    """Run the network once, and every method for every class; a method that fails leaves the others' maps alone.

    Raises `NoAnswer` where the network has none.
    """
    prepare = subject.prepare
    whole = forward_pass(subject.backbone, prepare.tensor(prepare.picture(picture))[None])
    probabilities = subject.backbone.probabilities(whole.logits)[0].cpu()
    if not probabilities.isfinite().all():
        raise NoAnswer
    classes = list(subject.classes) or whole.classes.tolist()
    shown, failed = [], {}
    for class_index in classes:
        index = torch.tensor([class_index], device=whole.logits.device)
        fp = whole.select(torch.zeros_like(index), index)
        for method in subject.methods:
            try:
                shown.append(_show(subject, fp, method, class_index))
            except UserError:
                raise
            except Exception as error:  # a plug-in or a peer may fail in any way; the others' pictures are still wanted
                failed[method.title] = in_words(error)
    return Explained(probabilities, top_classes(probabilities), classes, shown, failed)


def _timed(method: Method, fp: ForwardPass) -> tuple[Tensor, float]:
    own = fp.copy()
    begun = time.perf_counter()
    maps = method(own)
    maps.cpu()  # a GPU is done only when the values are here
    return maps, time.perf_counter() - begun


def _show(subject: Subject, fp: ForwardPass, method: Method, class_index: int) -> Shown:
    maps, seconds = _timed(method, fp)
    if seconds < _QUICK:  # a first call also sets up what later ones find there
        seconds = _timed(method, fp)[1]
    raw = maps.float().cpu()
    if raw.ndim != 3 or len(raw) != 1 or not raw.numel():
        raise ValueError(f"maps are {tuple(raw.shape)}, not (1, h, w)")
    with torch.no_grad():
        evidence = Evidence(fp, maps, subject.protocol, method)
        values = {metric.column: evidence.measure(metric).flatten().tolist() for metric in subject.metrics}
    scores = {name: v[0] if len(v) == 1 and isfinite(v[0]) else None for name, v in values.items()}
    return Shown(class_index, method.title, raw[0], seconds, evidence.status[0], scores)
