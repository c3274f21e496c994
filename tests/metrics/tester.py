"""One tester for any metric, shipped or a plug-in's: what every metric must keep, on a real forward pass."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import reciprocam_bench as rb
from reciprocam_bench.config import NamedConfig
from reciprocam_bench.datasets.dataset import Box, Target
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.registry import make_method
from reciprocam_bench.metrics.annotated import LOCALISED, Annotated
from reciprocam_bench.metrics.evidence import Evidence
from reciprocam_bench.metrics.lookup import make_metrics
from reciprocam_bench.metrics.metric import Metric, passes
from reciprocam_bench.metrics.registry import METRICS
from reciprocam_bench.metrics.scenes import Scenes
from reciprocam_bench.protocols.protocol import Geometry, load_protocol
from reciprocam_bench.registry import keyword_options

METHOD = make_method("reciprocam", {"mask": "gaussian"}, "t")
PROTOCOL = load_protocol("poppi-2021")
GEOMETRY = Geometry(resize="squash", size=16, crop=None, interpolation="bilinear")
# Images of two sizes, and one that shows nothing of its class.
SIZES = [(48, 40), (32, 32), (48, 40), (32, 32)]
TARGETS = [
    Target("dog", 0, (Box(4, 4, 30, 30),), SIZES[0]),
    Target("cat", 1, (Box(0, 0, 9, 9), Box(20, 8, 32, 32)), SIZES[1]),
    Target("cow", 2, (Box(30, 20, 48, 40),), SIZES[2]),
    None,
]


def metric_of(name: str, **options: Any) -> Metric:
    """A metric by name, as a config asks for it."""
    for module in METRICS.get(name).requires:
        pytest.importorskip(module)
    *_, metric = make_metrics([NamedConfig(name=name, **options)]).values()
    return metric


def evidence(backbone: rb.Backbone, images: Tensor, rows: Sequence[int], maps: Tensor | None = None) -> Evidence:
    """The evidence of some of four images, explained by Recipro-CAM unless maps are given."""
    fp = forward_pass(backbone, images[list(rows)], torch.tensor(rows))
    scenes = Scenes([TARGETS[r] for r in rows], [SIZES[r] for r in rows], GEOMETRY)
    maps = METHOD(fp) if maps is None else maps[list(rows)]
    return Evidence(fp, maps, PROTOCOL, METHOD, scenes)


def given(backbone: rb.Backbone, images: Tensor, found: dict[str, Any]) -> Evidence:
    """Evidence that is what one says it is, for values worked out by hand."""
    made = evidence(backbone, images, range(len(next(v for v in found.values() if isinstance(v, Tensor | list)))))
    made.fp = replace(made.fp, images=found.get("images", made.fp.images))
    localised = {name: value for name, value in found.items() if name in LOCALISED}
    made.__dict__.update({name: value for name, value in found.items() if name not in ("images", *localised)})
    if localised:
        made.__dict__["status"] = ["ok"] * len(made.fp)
        made.__dict__["annotated"] = [
            (torch.arange(len(made.fp)), Annotated(**{**dict.fromkeys(LOCALISED), **localised}))
        ]
    return made


def check(metric: Metric, backbone: rb.Backbone, images: Tensor, by_hand: Sequence[tuple[dict, Any]] = ()) -> Tensor:
    """Everything that holds for any metric; returns its values ``(4,)`` or ``(4, T)`` on the four images."""
    with torch.no_grad():
        for found, expected in by_hand:
            values = given(backbone, images, found).measure(metric)
            torch.testing.assert_close(values, torch.as_tensor(expected, dtype=torch.float32), equal_nan=True)
        values = _checked_shape(metric, backbone, images)
        _check_loop(metric, backbone, images, values)
        _check_chunks(metric, backbone, images, values)
        _check_types(metric, backbone, images)
    _check_options(metric)
    return values


def _checked_shape(metric: Metric, backbone: rb.Backbone, images: Tensor) -> Tensor:
    made, spent = evidence(backbone, images, range(4)), [0.0]
    ask, explain, again = made.ask, made.explain, METHOD.forwards(backbone)

    def counted(images: Tensor, rows: Tensor, **options: Any) -> Tensor:
        spent[0] += len(images)
        return ask(images, rows, **options)

    def counted_again(images: Tensor, rows: Tensor, **options: Any) -> Tensor:
        spent[0] += len(images) * (1 + again)
        return explain(images, rows, **options)

    made.ask, made.explain = counted, counted_again  # type: ignore[method-assign]  # what it costs is counted
    before = made.raw.clone(), made.images.clone()
    values = made.measure(metric)
    width = len(metric.columns)
    assert values.shape == ((4, width) if metric.spec.thresholds else (4,))
    assert values.dtype == torch.float32 and values.device == images.device and not values.requires_grad
    assert values.isnan().reshape(4, -1).any(1).tolist() == [False, False, False, metric.localised]
    assert torch.equal(made.raw, before[0]) and torch.equal(made.images, before[1]), "evidence was changed in place"
    judged = 3 if metric.localised else 4
    cost = judged * passes([metric], PROTOCOL, again)
    assert spent[0] == pytest.approx(cost), "forwards= and explains= say another number of images than it asks about"
    return values


def _check_loop(metric: Metric, backbone: rb.Backbone, images: Tensor, values: Tensor) -> None:
    alone = [evidence(backbone, images, [row]).measure(metric) for row in range(4)]
    torch.testing.assert_close(torch.cat(alone), values, rtol=1e-4, atol=1e-5, equal_nan=True)


def _check_chunks(metric: Metric, backbone: rb.Backbone, images: Tensor, values: Tensor) -> None:
    small = replace(backbone, memory_budget=1)
    assert small.chunk_size() == 1 < backbone.chunk_size()
    found = evidence(small, images, range(4)).measure(metric)
    torch.testing.assert_close(found, values, rtol=1e-4, atol=1e-5, equal_nan=True)


def _check_types(metric: Metric, backbone: rb.Backbone, images: Tensor) -> None:
    maps = torch.linspace(0, 1, 4 * 16).reshape(4, 4, 4)
    single = evidence(backbone, images, range(4), maps).measure(metric)
    double = evidence(backbone, images, range(4), maps.double()).measure(metric)
    assert double.dtype == torch.float32
    torch.testing.assert_close(double, single, equal_nan=True)
    assert evidence(backbone, images, range(4), maps > 0.5).measure(metric).dtype == torch.float32


def _check_options(metric: Metric) -> None:
    with pytest.raises(UserError, match=rf"^metric '{metric.spec.name}': unknown option 'zzz'"):
        metric_of(metric.spec.name, zzz=1)
    for option in keyword_options(metric.spec.function):
        with pytest.raises(UserError, match=rf"^metric '{metric.spec.name}': option '{option}': "):
            metric_of(metric.spec.name, **{option: ["no", "such", "value"]})
