"""Everything a metric may ask for by name, computed when it is first asked for and at most once."""

from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from reciprocam_bench.explainers.chunks import in_chunks
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass, of_class
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.metrics.annotated import LOCALISED, Annotated, chosen
from reciprocam_bench.metrics.fresh_weights import fresh_weights
from reciprocam_bench.metrics.metric import Metric, default_metric
from reciprocam_bench.metrics.road_scores import Road
from reciprocam_bench.metrics.scenes import Scenes
from reciprocam_bench.protocols.maps import map_status, masked, normalise, on_original, upsample
from reciprocam_bench.protocols.protocol import Protocol


class WrongValues(ValueError):
    """A metric returned something else than a value for each image."""


class Evidence:
    """The maps of one method for one batch, and all that follows from them under a protocol.

    Metrics name what they need as parameters: the attributes below (`EVIDENCE` lists them), the fields of
    `reciprocam_bench.metrics.annotated.Annotated` where objects are annotated (`LOCALISED`), or other metrics.

    Args:
        fp: the forward pass the maps explain.
        maps: raw maps ``(N, h, w)``.
        protocol: how they are normalised, resized, and laid over the image.
        method: explains the masked images again, for coherency; metrics that need that fail without it.
        scenes: what is annotated in each image, for metrics of localisation; the others do not need it.
        questions: how many forward passes metrics will spend on what they `ask` and `explain` in all, for progress.
    """

    def __init__(
        self,
        fp: ForwardPass,
        maps: Tensor,
        protocol: Protocol,
        method: Method | None = None,
        scenes: Scenes | None = None,
        questions: float = 0,
    ) -> None:
        self.fp = fp
        self.raw = maps.float()
        self._protocol = protocol
        self._method = method
        self._scenes = scenes
        self._questions, self._asked = questions, 0.0
        self._values: dict[str, Tensor] = {}

    @property
    def images(self) -> Tensor:
        """The preprocessed images, ``(N, 3, H, W)``."""
        return self.fp.images

    @cached_property
    def status(self) -> list[str]:
        """``ok``, ``constant`` or ``nan`` for each map; the latter two are judged as maps that mark nothing."""
        return map_status(self.raw)

    @cached_property
    def saliency(self) -> Tensor:
        """Normalised maps at image size, ``(N, H, W)``."""
        return self._saliency(self.raw)

    @cached_property
    def explanation(self) -> Tensor:
        """The normalised maps at the resolution the protocol judges, ``(N, h, w)`` or ``(N, H, W)``."""
        return self.saliency if self._protocol.judged == "image" else normalise(self.raw)

    @cached_property
    def masked_fp(self) -> ForwardPass:
        """One forward pass of the masked images; it serves drop, increase and coherency."""
        seen = self.mask(self.saliency, torch.arange(len(self.fp), device=self.images.device))
        again = forward_pass(self.fp.backbone, seen, self.fp.classes, self.fp.progress)
        return replace(again, objects=self.fp.objects)  # they are where they were

    @cached_property
    def masked_explanation(self) -> Tensor:
        """The method's normalised maps of the masked images, at the resolution of ``explanation``."""
        maps = self._explainer(self.masked_fp.copy()).float()
        return self._saliency(maps) if self._protocol.judged == "image" else normalise(maps)

    @cached_property
    def probability(self) -> Tensor:
        """Probability of the class on the image, ``(N,)``."""
        return self.fp.probabilities

    @cached_property
    def masked_probability(self) -> Tensor:
        """Probability of the class on the masked image, ``(N,)``."""
        return self.masked_fp.probabilities

    @cached_property
    def road(self) -> Road:
        """The network's answers as pixels are removed by rank and imputed, for all metrics that ask."""
        return Road(self.fp, self.saliency, self.ask)

    @cached_property
    def annotated(self) -> list[tuple[Tensor, Annotated]]:
        """Rows ``(G,)`` of images of one size and what is annotated there, under the maps; once for all metrics."""
        if self._scenes is None:
            return []
        geometry = self._scenes.geometry
        return [
            (
                torch.tensor(rows, device=self.raw.device),
                group.annotated(on_original(normalise(self.raw[rows]), geometry, *group.size), geometry),
            )
            for rows, group in self._scenes.by_size()
        ]

    def mask(self, maps: Tensor, rows: Tensor) -> Tensor:
        """The images ``rows (M,)`` of the batch seen through maps ``(M, H, W)``, as the protocol masks."""
        p = self.fp.backbone.preprocessing
        mean, std = (torch.tensor(v, device=self.images.device) for v in (p.mean, p.std))
        return masked(self.images[rows], maps, mean, std, raw=self._protocol.masked == "raw")

    def ask(self, images: Tensor, rows: Tensor, *, logits: bool = False) -> Tensor:
        """Class probability ``(M,)`` of changed images ``(M, 3, H, W)``, in chunks that fit the memory; or its logit.

        ``rows (M,)`` says which image of the batch each was made of: it is asked about that image's class.
        """
        backbone, found = self.fp.backbone, [images.new_zeros(0)]

        def asked(chunk: Tensor) -> Tensor:
            scores = backbone(backbone.prepare(images[chunk]))
            scores = scores if logits else backbone.probabilities(scores)
            return of_class(scores, self.fp.classes[rows[chunk]])

        with torch.no_grad():
            for part in in_chunks(backbone, len(images), asked):
                found.append(part)
                self._spent(len(part))
        return torch.cat(found)

    def explain(self, images: Tensor, rows: Tensor, *, classes: Tensor | None = None, fresh: float = 0.0) -> Tensor:
        """The method's raw maps ``(M, h, w)`` of changed images, a batch's number of them at a time.

        Args:
            images: ``(M, 3, H, W)``.
            rows: which image of the batch each was made of, ``(M,)``.
            classes: to explain instead of those images' own, ``(M,)``.
            fresh: the share of the network's layers, from the last one on, whose weights are replaced by fresh ones
                (`reciprocam_bench.metrics.fresh_weights`).
        """
        backbone, found = self.fp.backbone, []
        classes = self.fp.classes[rows] if classes is None else classes
        size = min(len(self.fp), backbone.chunk_size())
        with fresh_weights(backbone, fresh):
            for part, of in zip(images.split(size), classes.split(size), strict=True):
                found.append(self._explainer(forward_pass(backbone, part, of)).float())
                self._spent(len(part) * (1 + self._explainer.forwards(backbone)))
        return torch.cat(found)

    @property
    def _explainer(self) -> Method:
        if self._method is None:
            raise ValueError("changed images are explained; give the method the maps were made with")
        return self._method

    def _spent(self, passes: float) -> None:
        self._asked += passes
        self.fp.progress(min(1.0, self._asked / max(self._questions, self._asked)))

    def measure(self, metric: Metric) -> Tensor:
        """Per-image values of a metric, ``(N,)``, or ``(N, T)`` for one with thresholds; float32."""
        if metric.column not in self._values:
            metric = metric.under(self._protocol)
            self._values[metric.column] = self._localised(metric) if metric.localised else self._plain(metric)
        return self._values[metric.column]

    def _plain(self, metric: Metric) -> Tensor:
        found = metric.spec.function(*(_own(self._find(name)) for name in metric.spec.needs), **metric.options)
        return self._checked(metric, found, len(self.fp))

    def _localised(self, metric: Metric) -> Tensor:
        """NaN where nothing is annotated for the class explained; 0 for maps that mark nothing, which point nowhere."""
        width = len(metric.spec.thresholds)
        values = torch.full((len(self.fp), width) if width else (len(self.fp),), torch.nan, device=self.raw.device)
        blank = torch.tensor([status != "ok" for status in self.status], device=values.device)
        for rows, annotated in self.annotated:
            given = (
                _own(getattr(annotated, name)) if name in LOCALISED else chosen(self._find(name), rows)
                for name in metric.spec.needs
            )
            found = metric.spec.function(*given, **metric.options)
            values[rows] = self._checked(metric, found, len(rows)).to(values)
            values[rows[blank[rows]]] = 0.0
        return values

    @staticmethod
    def _checked(metric: Metric, found: Any, count: int) -> Tensor:
        width = len(metric.spec.thresholds)
        wanted = (count, width) if width else (count,)
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise WrongValues(f"values must be {wanted}; they are {shape}")
        if not (found.is_floating_point() or found.dtype == torch.bool):
            raise WrongValues(f"values must be floating-point or boolean; they are {found.dtype}")
        if found.isinf().any():
            raise WrongValues("values must be finite, or NaN where there is none; one is infinite")
        return found.float()

    def _saliency(self, maps: Tensor) -> Tensor:
        height, width = self.images.shape[2:]
        return upsample(normalise(maps), self._protocol.upsample, (height, width))

    def _find(self, name: str) -> Any:
        return getattr(self, name) if name in EVIDENCE else self.measure(default_metric(name))


def _own(given: Any) -> Any:
    """What a metric is handed, in tensors of its own: it may change them in place, and others read them after it."""
    if isinstance(given, Tensor):
        return given.clone()
    if isinstance(given, list):
        return [_own(one) for one in given]
    return given.copy() if isinstance(given, ForwardPass) else given


EVIDENCE = frozenset({"fp", "raw"} | {n for n in vars(Evidence) if n[0] != "_" and n not in ("measure", "annotated")})
