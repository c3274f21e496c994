"""One tester for every metric: whatever it measures, it must do so one image at a time, anywhere, in any chunk."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.config import NamedConfig
from reciprocam_bench.datasets.dataset import Box, Target
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.registry import make_method
from reciprocam_bench.metrics.evidence import Evidence
from reciprocam_bench.metrics.lookup import make_metrics
from reciprocam_bench.metrics.metric import Metric
from reciprocam_bench.metrics.scenes import Scenes
from reciprocam_bench.protocols.protocol import load_protocol

SIZES = [(20, 16), (16, 16), (20, 16), (16, 24)]
TARGETS = [
    Target("dog", 0, (Box(2, 3, 12, 11),), (20, 16)),
    None,
    Target("cat", 1, (Box(0, 0, 5, 5), Box(8, 8, 15, 15)), (20, 16)),
    Target("dog", 0, (Box(1, 9, 15, 23),), (16, 24)),
]


class MetricTester:
    """Checks a metric on four seeded images of a tiny network, three of which are annotated, under two protocols."""

    def __init__(self, backbone: Backbone, name: str, **options: Any) -> None:
        self.backbone = backbone
        self.metric: Metric = make_metrics([NamedConfig.model_validate({"name": name, **options})])[
            NamedConfig.model_validate({"name": name, **options}).title
        ]
        self.images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(2))

    def check(self, tolerance: float = 1e-5) -> None:
        """All that must hold for any metric, up to an absolute ``tolerance``."""

        def same(a: Tensor, b: Tensor) -> None:
            torch.testing.assert_close(a, b, rtol=1e-4, atol=tolerance, equal_nan=True)

        for protocol in ("poppi-2021", "recipro-2024"):
            whole = self.values(protocol)
            width = len(self.metric.spec.thresholds)
            assert whole.shape == ((4, width) if width else (4,))
            assert whole.dtype == torch.float32
            same(whole, torch.cat([self.values(protocol, [i]) for i in range(4)]))  # batch = loop
            same(whole.flip(0), self.values(protocol, [3, 2, 1, 0]))
            same(whole, self.values(protocol, chunk=1))
            same(whole, self.values(protocol, dtype=torch.float64))
            assert torch.isnan(whole[1]).all() == self.metric.localised
            assert not torch.isnan(whole[[0, 2, 3]]).any()

    def values(
        self,
        protocol: str,
        rows: list[int] | None = None,
        chunk: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """The metric's values on some of the images."""
        rows = list(range(4)) if rows is None else rows
        budget = None if chunk is None else chunk * self.backbone.bytes_per_image
        fp: ForwardPass = forward_pass(replace(self.backbone, memory_budget=budget), self.images[rows])
        method, chosen = make_method("gradcam", {}, "gradcam", self.backbone), load_protocol(protocol)
        scenes = Scenes([TARGETS[i] for i in rows], [SIZES[i] for i in rows], chosen.preprocess)
        return Evidence(fp, method(fp).to(dtype), chosen, method, scenes).measure(self.metric)
