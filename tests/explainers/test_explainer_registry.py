"""The decorator, options and checks of explainers, and what holds for every one of them."""

import copy
import dataclasses
import inspect
import sys
import types
from pathlib import Path
from typing import Literal

import pytest
import torch

import reciprocam_bench as rb
from reciprocam_bench.explainers import registry as registry_module
from reciprocam_bench.explainers.closed_form import needs_linear_head
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.registry import EXPLAINERS, ExplainerSpec, explainer, make_method
from reciprocam_bench.registry import Registry

CONFIGURED = {
    "cam": [{}],
    "gradcam": [{}],
    "reciprocam": [
        {"mask": mask, "path": path} for mask in ("one-hot", "gaussian") for path in ("closed-form", "batched-head")
    ],
    "ablationcam": [{"path": "closed-form"}, {"path": "batched-head"}],
    "blackboxreciprocam": [{"patch": 6, "stride": 4, "mask": mask} for mask in ("one-hot", "gaussian")],
    "eigencam": [{}, {"centred": True}],
    "eigengradcam": [{}, {"centred": True}],
    "fasterscorecam": [{"variant": v, "channels": 3} for v in ("paper", "torch-cam", "grad-cam")],
    "finercam": [{"base": base, "references": 2} for base in ("gradcam", "gradcam++", "smoothgradcam++")],
    "fullgrad": [{"rescale": "channel"}, {"rescale": "layer"}],
    "fusedreciprocam": [{"fuse": fuse} for fuse in ("mean", "product", "max")],
    "iscam": [{"samples": 2, "variant": v} for v in ("paper", "torch-cam")],
    "opticam": [{"iterations": 3}],
    "refinecam": [{}, {"base": "layercam"}],
    "rise": [{"samples": 6, "cells": 3}],
    "scorecam": [{"variant": v} for v in ("paper", "torch-cam", "grad-cam")],
    "shapleycam": [{"utility": "rest"}, {"utility": "logit"}],
    "sscam": [{"samples": 2, "variant": v} for v in ("paper", "torch-cam")],
}
SPECS = EXPLAINERS.all()
# Controls that see neither image nor class, or are told the truth, and methods for other networks have own tests.
APART = {n for n, spec in SPECS.items() if spec.control and (spec.class_blind or spec.objects)}
APART |= {"vitreciprocam", "exported"}
METHODS = [(name, options) for name in SPECS if name not in APART for options in CONFIGURED.get(name, [{}])]
# Maps that are not of feature size: for images of 24x16
SIZES = {"rise": (24, 16), "fullgrad": (24, 16)}


@pytest.fixture
def empty(monkeypatch) -> Registry:
    """A registry of its own behind the decorator."""
    registry = Registry("method", "reciprocam_bench.protocols", "no.such.group")
    monkeypatch.setattr(registry_module, "EXPLAINERS", registry)
    return registry


def test_the_methods_of_the_package_are_found():
    assert {"cam", "gradcam", "scorecam", "reciprocam"} <= set(EXPLAINERS.all())
    assert list(EXPLAINERS.all()) == sorted(EXPLAINERS.all())


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_a_batch_is_the_same_as_its_images_one_by_one(tiny, images, name, options):
    method = make_method(name, options, name, tiny)
    classes = torch.tensor([4, 0, 2])
    batch = method(forward_pass(tiny, 5 * images, classes))
    single = [method(forward_pass(tiny, 5 * images[n : n + 1], classes[n : n + 1])) for n in range(3)]
    torch.testing.assert_close(batch, torch.cat(single), rtol=1e-4, atol=1e-5 * batch.abs().max().item())
    assert (batch[0] - batch[1]).abs().max() > 0


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_the_class_is_resolved_for_each_image(tiny, images, name, options):
    method = make_method(name, options, name, tiny)
    same = 5 * images[:1].expand(3, -1, -1, -1)
    together = method(forward_pass(tiny, same, torch.tensor([4, 0, 2])))
    for n, c in enumerate([4, 0, 2]):
        alone = method(forward_pass(tiny, same[:1], torch.tensor([c])))[0]
        torch.testing.assert_close(together[n], alone, rtol=1e-4, atol=1e-5 * alone.abs().max().item())
    for other in (1, 2):
        assert ((together[0] - together[other]).abs().max() == 0) == SPECS[name].class_blind


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_maps_are_raw_detached_and_of_their_size(tiny, name, options):
    fp = forward_pass(tiny, torch.randn(2, 3, 24, 16))
    features, images = fp.features.clone(), fp.images.clone()
    maps = make_method(name, options, name, tiny)(fp)
    assert (maps.shape, maps.dtype, maps.device) == ((2, *SIZES.get(name, (6, 4))), torch.float32, tiny.device)
    assert not maps.requires_grad
    assert torch.equal(fp.features, features) and torch.equal(fp.images, images)


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_the_memory_budget_changes_nothing(tiny, images, name, options):
    method = make_method(name, options, name, tiny)
    whole = method(forward_pass(tiny, 5 * images))
    chunked = method(forward_pass(dataclasses.replace(tiny, memory_budget=1), 5 * images))
    torch.testing.assert_close(chunked, whole, rtol=1e-4, atol=1e-5 * whole.abs().max().item())


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_double_precision_gives_the_same_maps(tiny_net, images, name, options):
    single = rb.split_backbone(tiny_net, images)
    double = rb.split_backbone(copy.deepcopy(tiny_net).double(), images.double())
    expected = rb.explain(single, 5 * images, [4, 0, 2], name, **options)
    maps = rb.explain(double, (5 * images).double(), [4, 0, 2], name, **options)
    if SPECS[options.get("base", name)].random:
        assert maps.isfinite().all()  # the bytes of the image seed the noise
        return
    torch.testing.assert_close(maps.float(), expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_a_nan_in_one_image_does_not_reach_the_others(tiny, images, name, options):
    """A row of the tables is an image's own: one that breaks is one row of status nan."""
    broken = 5 * images.clone()
    broken[1, :, 5, 5] = torch.nan
    classes = torch.tensor([4, 0, 2])
    maps = make_method(name, options, name, tiny)(forward_pass(tiny, broken, classes))
    expected = make_method(name, options, name, tiny)(forward_pass(tiny, 5 * images, classes))
    for n in (0, 2):
        torch.testing.assert_close(maps[n], expected[n], rtol=1e-4, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_progress_only_grows(tiny, images, name, options):
    shares: list[float] = []
    small = dataclasses.replace(tiny, memory_budget=1)
    fp = dataclasses.replace(forward_pass(small, images), progress=shares.append)
    make_method(name, options, name, small)(fp)
    assert shares == sorted(shares)
    assert not shares or shares[-1] == pytest.approx(1.0)


def test_a_decorated_function_is_registered_and_stays_callable(empty):
    @explainer("mine", aliases=("my", "own"), forwards=lambda backbone, options: 7.0)
    def mine(fp, *, power: int = 1):
        return fp.features.mean(1) ** power

    assert mine is empty.get("mine").function is empty.get("own").function
    assert list(empty.all()) == ["mine"]
    assert make_method("my", {"power": 2}, "row", None).title == "row"


def test_what_the_decorator_is_told_stands_in_the_spec(empty):
    def mine(fp):
        return fp.features.mean(1)

    assert explainer("mine", class_blind=True, random=True)(mine) is mine
    assert empty.get("mine") == ExplainerSpec("mine", mine, class_blind=True, random=True)
    with pytest.raises(TypeError, match="classblind"):
        explainer("other", classblind=True)(mine)


def test_a_method_that_draws_or_fuses_says_so():
    """By what it imports: numbers that belong to an image, or maps of several layers."""
    for name, spec in SPECS.items():
        helpers = vars(sys.modules[spec.function.__module__])
        assert ("generators" in helpers) == spec.random, name
        assert ("maps_of_layers" in helpers) == spec.fuses_layers, name


def test_a_method_of_ones_own_runs_with_its_options(empty, tiny, images):
    @explainer("mine")
    def mine(fp, *, power: int = 1):
        return fp.features.mean(1) ** power

    fp = forward_pass(tiny, images)
    torch.testing.assert_close(make_method("mine", {"power": 3}, "t")(fp), fp.features.mean(1) ** 3)
    assert make_method("mine", {}, "t").forwards(tiny) == 1.0


def test_maps_of_a_method_that_tracks_gradients_come_back_without(empty, tiny, images):
    explainer("mine")(lambda fp: fp.features.clone().requires_grad_().mean(1))
    assert not make_method("mine", {}, "t")(forward_pass(tiny, images)).requires_grad


@pytest.mark.parametrize("second", ["mine", "my"])
def test_a_name_is_taken_only_once(empty, second):
    explainer("mine", aliases=("my",))(lambda fp: fp.features.mean(1))
    with pytest.raises(rb.UserError, match=f"method '{second}' is registered twice; rename one of the two"):
        explainer(second)(lambda fp: fp.features.mean(1))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("grad-cam", "unknown method 'grad-cam'; did you mean 'gradcam'? (rcam-bench ls methods)"),
        ("reciprocamm", "did you mean 'reciprocam'?"),
        ("zzz", "unknown method 'zzz'; "),
    ],
)
def test_an_unknown_method_is_answered_with_the_nearest(name, words):
    with pytest.raises(rb.UserError) as error:
        make_method(name, {}, "t")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("reciprocam", {"masks": "gaussian"}, "method 'reciprocam': unknown option 'masks'; did you mean 'mask'?"),
        ("reciprocam", {"mask": "gaussain"}, "option 'mask': Input should be 'one-hot' or 'gaussian', not 'gaussain'"),
        ("scorecam", {"variant": None}, "method 'scorecam': option 'variant': "),
        ("gradcam", {"mask": "gaussian"}, "method 'gradcam': unknown option 'mask'"),
        ("gradcam", {"fp": 1}, "method 'gradcam': unknown option 'fp'"),
    ],
)
def test_options_that_do_not_fit_are_named(name, options, words):
    with pytest.raises(rb.UserError) as error:
        make_method(name, options, "t")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_method_is_checked_against_the_backbone(tiny):
    other = dataclasses.replace(tiny, linear=None, name="mine", layer="stem")
    needs_linear_head(tiny, {})
    for name in ("cam", "reciprocam"):
        options = {"path": "closed-form"} if name == "reciprocam" else {}
        make_method(name, options, name)
        with pytest.raises(rb.UserError, match="mine split at 'stem' has"):
            make_method(name, options, name, other)


def test_a_plug_in_with_postponed_annotations_has_its_options_checked(empty):
    source = """
from __future__ import annotations
from typing import Literal
from reciprocam_bench.explainers.registry import explainer

@explainer("mine")
def mine(fp, *, how: Literal["up", "down"] = "up"):
    return fp.features.mean(1)
"""
    module = types.ModuleType("a_plug_in")
    sys.modules["a_plug_in"] = module
    try:
        exec(source, module.__dict__)
        assert make_method("mine", {"how": "down"}, "t").options == {"how": "down"}
        with pytest.raises(rb.UserError, match="option 'how': Input should be 'up' or 'down', not 'left'"):
            make_method("mine", {"how": "left"}, "t")
    finally:
        del sys.modules["a_plug_in"]


def test_options_are_what_was_given_in_their_types(empty):
    @explainer("mine")
    def mine(fp, *, power: int = 1, how: Literal["up", "down"] = "up"):
        return fp.features.mean(1)

    assert make_method("mine", {"power": "3"}, "t").options == {"power": 3}


@pytest.mark.parametrize("times", [1, 2])
def test_a_plug_in_that_does_not_load_is_named_every_time(monkeypatch, times):
    class Broken:
        name, value = "broken", "broken_package:method"

        def load(self):
            raise ImportError("no module named torchfoo")

    monkeypatch.setattr("reciprocam_bench.registry.entry_points", lambda group: [Broken()])
    registry = Registry("method", "reciprocam_bench.protocols", "some.group")
    for _ in range(times):
        with pytest.raises(rb.UserError) as error:
            registry.all()
    assert str(error.value) == (
        "plug-in 'broken' (broken_package:method) failed to load: ImportError: no module named torchfoo; "
        "fix or uninstall it"
    )


def test_every_method_is_in_the_docs_and_says_its_formula_cost_and_gradients():
    docs = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    for name, spec in SPECS.items():
        assert f"| `{name}` |" in docs, f"docs/methods.md does not list {name}"
        text = inspect.getdoc(spec.function) or ""
        if not spec.control:
            assert "Cost" in text, f"{name} does not say its cost"
            gradients = " ".join(text.split())
            assert ("Needs gradients" in gradients) == spec.gradients, f"{name}: docstring and decorator disagree"
            assert "``" in text.partition("\n")[0] or "approximation" in text.partition("\n")[0]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("random", {"seed": 2**64}),
        ("rise", {"seed": -1}),
        ("finercam", {"gamma": float("inf")}),
        ("sscam", {"std": float("nan")}),
        ("opticam", {"learning_rate": float("inf")}),
    ],
)
def test_numbers_that_no_method_can_use_are_refused(name, options):
    with pytest.raises(rb.UserError, match=f"method '{name}': option '{next(iter(options))}'"):
        make_method(name, options, "t")


def test_what_is_no_tensor_is_told_by_its_type(empty, tiny, images):
    explainer("mine")(lambda fp: None)
    with pytest.raises(TypeError, match=r"it must return maps \(N, h, w\); it returned a NoneType"):
        make_method("mine", {}, "t")(forward_pass(tiny, images))
