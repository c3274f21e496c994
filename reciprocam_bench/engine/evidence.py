"""Everything a metric may ask for by name, computed when it is first asked for and at most once."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from reciprocam_bench.engine.scenes import Scenes
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.metrics.registry import METRICS, MetricSpec
from reciprocam_bench.protocols.protocol import Protocol, map_status, normalise, on_original


class Evidence:
    """The maps of one method for one batch, and all that follows from them under a protocol.

    Metrics name what they need as parameters: the properties below, or other metrics.

    Metrics of localisation name, for trials with annotated objects on images of one size: ``located``, the normalised
    maps on the images' own pixels ``(G, H, W)``; ``objects`` and ``box_objects``, masks of the objects and of their
    boxes; ``boxes``, lists of boxes.

    Args:
        fp: the forward pass the maps explain.
        maps: raw maps ``(N, h, w)``.
        protocol: how they are normalised, resized, and laid over the image.
        method: explains the masked images again, for coherency; metrics that need that fail without it.
        scenes: what is annotated in each image, for metrics of localisation; the others do not need it.
    """

    def __init__(
        self,
        fp: ForwardPass,
        maps: Tensor,
        protocol: Protocol,
        method: Method | None = None,
        scenes: Scenes | None = None,
    ) -> None:
        self.fp = fp
        self.raw = maps.float()
        self._protocol = protocol
        self._method = method
        self._scenes = scenes
        self._values: dict[str, Tensor] = {}

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
        p = self.fp.backbone.preprocessing
        mean, std = (torch.tensor(v, device=self.fp.images.device) for v in (p.mean, p.std))
        masked = self._protocol.mask(self.fp.images, self.saliency, mean, std)
        return forward_pass(self.fp.backbone, masked, self.fp.classes, self.fp.progress)

    @cached_property
    def masked_explanation(self) -> Tensor:
        """The method's normalised maps of the masked images, at the resolution of ``explanation``."""
        if self._method is None:
            raise UserError("coherency explains the masked image again; give the method the maps were made with")
        maps = self._method(self.masked_fp).float()
        return self._saliency(maps) if self._protocol.judged == "image" else normalise(maps)

    @cached_property
    def probability(self) -> Tensor:
        """Probability of the class on the image, ``(N,)``."""
        return self.fp.probabilities

    @cached_property
    def masked_probability(self) -> Tensor:
        """Probability of the class on the masked image, ``(N,)``."""
        return self.masked_fp.probabilities

    def _saliency(self, maps: Tensor) -> Tensor:
        height, width = self.fp.images.shape[2:]
        return self._protocol.saliency(normalise(maps), (height, width))

    def measure(self, spec: MetricSpec) -> Tensor:
        """Per-image values of a metric, ``(N,)``, or ``(N, T)`` for one with thresholds."""
        if spec.name not in self._values:
            measure = self._measure_localised if spec.localised else self._measure_plain
            self._values[spec.name] = measure(spec)
        return self._values[spec.name]

    def _measure_plain(self, spec: MetricSpec) -> Tensor:
        return spec.function(**{name: self._find(name) for name in spec.needs})

    def _measure_localised(self, spec: MetricSpec) -> Tensor:
        """NaN where nothing is annotated for the class explained; 0 for maps that mark nothing, which point nowhere."""
        shape = (len(self.fp), len(spec.thresholds)) if spec.thresholds else (len(self.fp),)
        values = torch.full(shape, torch.nan, device=self.raw.device)
        if self._scenes is None:
            return values
        for rows, scene in self._scenes.by_size():
            maps = normalise(self.raw[rows])
            given = {"located": on_original(maps, self._scenes.geometry, *scene.size)} | scene.arrays(self.raw.device)
            values[rows] = spec.function(**{name: given[name] for name in spec.needs})
            blank = torch.tensor([self.status[i] != "ok" for i in rows], device=values.device)
            values[torch.tensor(rows, device=values.device)[blank]] = 0.0
        return values

    def _find(self, name: str) -> Any:
        if hasattr(type(self), name):
            return getattr(self, name)
        return self.measure(METRICS.get(name))
