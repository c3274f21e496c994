"""Whole jobs: maps and ADCC of images, as users of the libraries write them and as we judge."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
import torchcam.methods
from torch import Tensor, nn

from peer_comparison.authors import Explain, adcc, adcc_of_scripts, coherency, position_by_position, scaled
from peer_comparison.contender import Contender
from peer_comparison.groups import authors
from peer_comparison.subject import Subject
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.registry import make_method
from reciprocam_bench.metrics.evidence import Evidence
from reciprocam_bench.metrics.metric import default_metric
from reciprocam_bench.protocols.protocol import load_protocol

METHODS = ("gradcam", "gradcam++", "layercam", "reciprocam")
_THEIRS = {"gradcam": "GradCAM", "gradcam++": "GradCAMpp", "layercam": "LayerCAM"}
_BATCH = 8


def recipro_adcc(subject: Subject) -> list[Contender]:
    """ADCC of Recipro-CAM, by the authors' metric scripts and by us under their protocol."""
    plain, network = subject.own_plain(), subject.own_plain()
    ours = "ours, ADCC of Recipro-CAM"
    found = [Contender(ours, lambda: our_adcc(subject, ("reciprocam",), "recipro-2024")["reciprocam"])]
    for title, explain in authors(subject).items():
        job = partial(adcc_of_scripts, plain, explain, subject.images, subject.classes)
        found.append(Contender(f"authors' loop, {title}", job, ours, True))
    slow = position_by_position(network, subject.layer_of(network))
    one = partial(adcc_of_scripts, plain, slow, subject.images[:1], subject.classes[:1])
    title = "a forward pass a position, one image counted as all"
    return [*found, Contender(title, one, theirs=True, times=len(subject.images))]


def four_methods(subject: Subject) -> list[Contender]:
    """Four methods and their ADCC under Poppi's protocol: torch-cam's classes and the authors' hook, and ours."""
    return [
        Contender("ours, four methods and ADCC", lambda: _mean(our_adcc(subject, METHODS, "poppi-2021"))),
        Contender("users' loop, four methods and ADCC", users_job(subject), "ours, four methods and ADCC", True),
    ]


def our_adcc(subject: Subject, methods: tuple[str, ...], protocol: str) -> dict[str, float]:
    """ADCC of each method, judged in batches as a run judges: one shared forward pass, one evidence a method."""
    terms = {name: default_metric(name) for name in ("average_drop", "coherency", "complexity")}
    found: dict[str, dict[str, list[Tensor]]] = {m: {name: [] for name in terms} for m in methods}
    rules = load_protocol(protocol)
    for images, classes in zip(subject.images.split(_BATCH), subject.classes.split(_BATCH), strict=True):
        fp = forward_pass(subject.backbone, images, classes)
        for name in methods:
            method = make_method(name, {}, name, subject.backbone)
            maps = method(fp)
            with torch.no_grad():
                evidence = Evidence(fp, maps, rules, method)
                for term, metric in terms.items():
                    found[name][term] += evidence.measure(metric).unbind()
    return {m: adcc(of["average_drop"], of["coherency"], of["complexity"]) for m, of in found.items()}


def users_job(subject: Subject) -> Callable[[], float]:
    """The loop that the pages of the libraries lead to: image by image, method by method, ADCC by Poppi's formulas."""
    explains = {name: _torchcam(subject, theirs) for name, theirs in _THEIRS.items()}
    explains["reciprocam"] = authors(subject)["hook"]
    judge = subject.own_plain()
    return lambda: _mean({name: _poppi_adcc(judge, explains[name], subject) for name in METHODS})


def _torchcam(subject: Subject, name: str) -> Explain:
    network = subject.own_plain()
    extractor = getattr(torchcam.methods, name)(network, target_layer=subject.backbone.layer)

    def explain(image: Tensor, label: int) -> Tensor:
        scores = network(image)
        return scaled(extractor(label, scores)[0][0])

    return explain


def _poppi_adcc(network: nn.Module, explain: Explain, subject: Subject) -> float:
    drops, coherencies, complexities = [], [], []
    for image, label in zip(subject.images.split(1), subject.classes.tolist(), strict=True):
        cam = _large(explain(image, label), image)
        masked = image * cam
        with torch.no_grad():
            before, after = (network(x).softmax(1)[0, label] for x in (image, masked))
        drops.append(F.relu(before - after) / before)
        coherencies.append(coherency(cam, _large(explain(masked, label), image)).nan_to_num(0.0))
        complexities.append(cam.mean())
    return adcc(drops, coherencies, complexities)


def _large(cam: Tensor, image: Tensor) -> Tensor:
    return F.interpolate(cam.detach()[None, None], image.shape[2:], mode="bilinear")[0, 0]


def _mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)
