"""Everything a metric may ask for by name, computed when it is first asked for and at most once."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.metrics.registry import METRICS, MetricSpec
from reciprocam_bench.protocols.protocol import Protocol, map_status, normalise


class Evidence:
    """The maps of one method for one batch, and all that follows from them under a protocol.

    Metrics name what they need as parameters: the properties below, or other metrics.

    Args:
        fp: the forward pass the maps explain.
        maps: raw maps ``(N, h, w)``.
        protocol: how they are normalised, resized, and laid over the image.
        method: explains the masked images again, for coherency; metrics that need that fail without it.
    """

    def __init__(self, fp: ForwardPass, maps: Tensor, protocol: Protocol, method: Method | None = None) -> None:
        self.fp = fp
        self.raw = maps.float()
        self._protocol = protocol
        self._method = method
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
        """Softmax probability of the class on the image, ``(N,)``."""
        return self.fp.probabilities

    @cached_property
    def masked_probability(self) -> Tensor:
        """Softmax probability of the class on the masked image, ``(N,)``."""
        return self.masked_fp.probabilities

    def _saliency(self, maps: Tensor) -> Tensor:
        height, width = self.fp.images.shape[2:]
        return self._protocol.saliency(normalise(maps), (height, width))

    def measure(self, spec: MetricSpec) -> Tensor:
        """Per-image values of a metric, ``(N,)``."""
        if spec.name not in self._values:
            self._values[spec.name] = spec.function(**{name: self._find(name) for name in spec.needs})
        return self._values[spec.name]

    def _find(self, name: str) -> Any:
        if hasattr(type(self), name):
            return getattr(self, name)
        return self.measure(METRICS.get(name))
