"""Benchmark class-activation-map methods on real networks and real images.

The public Python API; each name is imported on first use, so that ``rcam-bench --help`` never waits for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reciprocam_bench.version import __version__

if TYPE_CHECKING:
    from reciprocam_bench.api import evaluate, explain
    from reciprocam_bench.backbones.backbone import Backbone, Preprocessing
    from reciprocam_bench.backbones.load import load_backbone
    from reciprocam_bench.backbones.split import split_backbone
    from reciprocam_bench.errors import UserError
    from reciprocam_bench.explainers.forward_pass import ForwardPass
    from reciprocam_bench.explainers.registry import explainer
    from reciprocam_bench.exporting.explained_model import ExplainedModel
    from reciprocam_bench.exporting.export_model import export
    from reciprocam_bench.helpers import min_max, on_picture, overlay, preprocess, read_picture
    from reciprocam_bench.metrics.registry import metric

_HOMES = {
    "Backbone": "reciprocam_bench.backbones.backbone",
    "ExplainedModel": "reciprocam_bench.exporting.explained_model",
    "ForwardPass": "reciprocam_bench.explainers.forward_pass",
    "Preprocessing": "reciprocam_bench.backbones.backbone",
    "UserError": "reciprocam_bench.errors",
    "evaluate": "reciprocam_bench.api",
    "explain": "reciprocam_bench.api",
    "explainer": "reciprocam_bench.explainers.registry",
    "export": "reciprocam_bench.exporting.export_model",
    "load_backbone": "reciprocam_bench.backbones.load",
    "metric": "reciprocam_bench.metrics.registry",
    "min_max": "reciprocam_bench.helpers",
    "on_picture": "reciprocam_bench.helpers",
    "overlay": "reciprocam_bench.helpers",
    "preprocess": "reciprocam_bench.helpers",
    "read_picture": "reciprocam_bench.helpers",
    "split_backbone": "reciprocam_bench.backbones.split",
}

__all__ = [
    "Backbone",
    "ExplainedModel",
    "ForwardPass",
    "Preprocessing",
    "UserError",
    "__version__",
    "evaluate",
    "explain",
    "explainer",
    "export",
    "load_backbone",
    "metric",
    "min_max",
    "on_picture",
    "overlay",
    "preprocess",
    "read_picture",
    "split_backbone",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
