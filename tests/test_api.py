"""The two calls of the Python API."""

import dataclasses

import pytest
import torch
import yaml
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.registry import make_method

METHODS = ["cam", "gradcam", "layercam", "random", "reciprocam", "scorecam"]
METRICS = ("average_drop", "increase", "coherency", "complexity", "adcc")


@pytest.fixture
def nonlinear(images) -> rb.Backbone:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.Flatten(), nn.Linear(96, 7), nn.ReLU(), nn.Linear(7, 5))
    return rb.split_backbone(net.eval(), images)


@pytest.fixture
def maps(tiny, images) -> torch.Tensor:
    return rb.explain(tiny, images)


def message_of(call, *args, **options) -> str:
    with pytest.raises(rb.UserError) as error:
        call(*args, **options)
    assert str(error.value).isprintable()
    return str(error.value)


def test_every_public_name_can_be_imported():
    for name in rb.__all__:
        assert getattr(rb, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        _ = rb.explian


@pytest.mark.parametrize("method", METHODS)
def test_explain_gives_one_raw_map_an_image(tiny, images, method):
    maps = rb.explain(tiny, images, method=method)
    expected = make_method(method, {}, method)(forward_pass(tiny, images))
    assert (maps.shape, maps.requires_grad) == ((3, 4, 4), False)
    torch.testing.assert_close(maps, expected, rtol=0, atol=0)


def test_reciprocam_is_what_explains_if_nothing_is_said(tiny, images):
    torch.testing.assert_close(rb.explain(tiny, images), rb.explain(tiny, images, method="reciprocam"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "classes",
    [3, [3, 3, 3], (3, 3, 3), torch.tensor([3, 3, 3]), torch.tensor([3, 3, 3], dtype=torch.int32)],
    ids=["int", "list", "tuple", "tensor", "int32"],
)
def test_classes_may_be_one_for_all_or_one_an_image(tiny, images, method, classes):
    expected = make_method(method, {}, method)(forward_pass(tiny, images, torch.tensor([3, 3, 3])))
    torch.testing.assert_close(rb.explain(tiny, images, classes, method), expected, rtol=0, atol=0)


def test_no_classes_mean_the_predicted_ones(tiny, images):
    predicted = tiny(images).argmax(1)
    torch.testing.assert_close(rb.explain(tiny, images, method="cam"), rb.explain(tiny, images, predicted, "cam"))
    other = rb.explain(tiny, images, (predicted + 1) % 5, "cam")
    assert (rb.explain(tiny, images, method="cam") - other).abs().max() > 1e-3


@pytest.mark.parametrize("method", ["cam", "reciprocam"])
def test_all_classes_at_once(tiny, images, method):
    every = rb.explain(tiny, images, "all", method)
    assert (every.shape, every.requires_grad) == ((3, 5, 4, 4), False)
    for c in range(5):
        torch.testing.assert_close(every[:, c], rb.explain(tiny, images, c, method))


def test_all_classes_at_once_behind_any_head(nonlinear, images):
    every = rb.explain(nonlinear, images, "all", mask="gaussian", score="logit")
    for c in range(5):
        expected = rb.explain(nonlinear, images, c, mask="gaussian", score="logit")
        torch.testing.assert_close(every[:, c], expected, rtol=1e-4, atol=1e-5)


def test_a_tables_title_is_a_method_with_its_options(tiny, images):
    gaussian = rb.explain(tiny, images, method="reciprocam", mask="gaussian")
    assert torch.equal(rb.explain(tiny, images, method="reciprocam[mask=gaussian]"), gaussian)
    assert torch.equal(rb.explain(tiny, images, method="reciprocam[mask=one-hot]", mask="gaussian"), gaussian)
    judged = rb.evaluate(tiny, images, gaussian, method="reciprocam[mask=gaussian]")
    torch.testing.assert_close(judged, rb.evaluate(tiny, images, gaussian, method="reciprocam", mask="gaussian"))


def test_options_reach_the_method(tiny, images):
    logits = rb.explain(tiny, images, 1, "reciprocam", score="logit", mask="gaussian", path="reference")
    assert (logits - rb.explain(tiny, images, 1)).abs().max() > 1e-2
    expected = make_method("reciprocam", {"score": "logit", "mask": "gaussian"}, "t")
    torch.testing.assert_close(logits, expected(forward_pass(tiny, images, torch.tensor([1, 1, 1]))))


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([0, 1], "classes: 3 images need as many indices, not (2,)"),
        (torch.tensor([[0, 1, 2]]), "classes: 3 images need as many indices, not (1, 3)"),
        ([0, 1, 5], "classes: an index is outside 0 to 4"),
        ([0, -1, 2], "classes: an index is outside 0 to 4"),
        (5, "classes: an index is outside 0 to 4"),
        (torch.tensor([0.0, 1.5, 2.0]), "classes"),
        ("every", "classes='every'"),
    ],
    ids=["too-few", "two-dimensional", "too-large", "negative", "int-too-large", "fractions", "other-word"],
)
def test_classes_that_do_not_fit_are_refused(tiny, images, maps, classes, words):
    assert words in message_of(rb.explain, tiny, images, classes)
    assert words in message_of(rb.evaluate, tiny, images, maps, classes, method="reciprocam")


@pytest.mark.parametrize("method", ["gradcam", "scorecam"])
def test_all_classes_are_refused_where_they_are_dear(tiny, images, method):
    message = message_of(rb.explain, tiny, images, "all", method)
    assert message == f"classes='all': {method} gives maps of one class an image; name the classes"


@pytest.mark.parametrize("classes", [None, 0, "all"])
def test_a_single_image_without_its_batch_axis_is_refused(tiny, images, classes):
    message = message_of(rb.explain, tiny, images[0], classes)
    assert message == "images must be (N, 3, H, W); they are (3, 16, 16)"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "gradcamm"}, "unknown method 'gradcamm'; did you mean 'gradcam'?"),
        ({"method": "gradcam", "mask": "gaussian"}, "method 'gradcam': unknown option 'mask'"),
        ({"mask": "box"}, "option 'mask': Input should be 'one-hot' or 'gaussian', not 'box'"),
    ],
)
def test_unknown_methods_and_options_are_refused(tiny, images, options, words):
    assert words in message_of(rb.explain, tiny, images, **options)


@pytest.mark.parametrize("options", [{"method": "cam"}, {"path": "closed-form"}, {"method": "cam", "classes": "all"}])
def test_a_method_that_cannot_explain_the_backbone_is_refused(nonlinear, images, options):
    assert "custom split at '0' has" in message_of(rb.explain, nonlinear, images, **options)


@pytest.mark.parametrize("protocol", ["poppi-2021", "recipro-2024"])
@pytest.mark.parametrize("classes", [None, 2, [4, 0, 2], torch.tensor([4, 0, 2])])
def test_evaluate_gives_a_value_for_each_metric_and_image(tiny, images, protocol, classes):
    maps = rb.explain(tiny, images, classes)
    scores = rb.evaluate(tiny, images, maps, classes, protocol=protocol, method="reciprocam")
    assert tuple(scores) == METRICS
    for values in scores.values():
        assert values.shape == (3,)
        assert values.isfinite().all() and not values.requires_grad


def test_adcc_is_the_harmonic_mean_of_its_parts(tiny, images, maps):
    scores = rb.evaluate(tiny, 10 * images, maps, method="reciprocam")
    for n in range(3):
        drop, coherency, complexity = (scores[m][n].item() for m in ("average_drop", "coherency", "complexity"))
        expected = 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))
        assert scores["adcc"][n].item() == pytest.approx(expected, rel=1e-5)
    assert scores["adcc"].std() > 0


def test_drop_and_increase_compare_the_probabilities_of_the_class(tiny, tiny_net, images):
    images, classes = 10 * images, [4, 0, 2]
    maps = rb.explain(tiny, images, classes)
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    saliency = nn.functional.interpolate(((maps - low) / (high - low))[:, None], size=(16, 16), mode="bilinear")
    with torch.no_grad():
        y, o = (tiny_net(x).softmax(1)[range(3), classes] for x in (images, images * saliency))
    scores = rb.evaluate(tiny, images, maps, classes, metrics=("average_drop", "increase"))
    torch.testing.assert_close(scores["average_drop"], ((y - o) / y).clamp(min=0), rtol=1e-3, atol=1e-5)
    assert scores["increase"].tolist() == (o > y).float().tolist()
    assert scores["average_drop"].max() > 0
    torch.testing.assert_close(
        rb.evaluate(tiny, images, maps, classes, metrics=("complexity",))["complexity"], saliency.mean((1, 2, 3))
    )


def test_only_the_metrics_asked_for_are_given_and_adcc_brings_its_parts(tiny, images, maps):
    assert list(rb.evaluate(tiny, images, maps, metrics=("increase", "complexity"))) == ["increase", "complexity"]
    scores = rb.evaluate(tiny, images, maps, method="reciprocam", metrics=("adcc",))
    assert set(scores) == {"average_drop", "coherency", "complexity", "adcc"}


def test_the_methods_options_explain_the_masked_images(tiny, images):
    images = 10 * images
    maps = rb.explain(tiny, images, 1, mask="gaussian")
    coherency = {
        mask: rb.evaluate(tiny, images, maps, 1, method="reciprocam", metrics=("coherency",), mask=mask)["coherency"]
        for mask in ("one-hot", "gaussian")
    }
    assert (coherency["one-hot"] - coherency["gaussian"]).abs().max() > 1e-4


def test_maps_from_elsewhere_can_be_judged(tiny, images):
    scores = rb.evaluate(tiny, images, torch.rand(3, 7, 5), metrics=("average_drop", "complexity"))
    assert all(values.isfinite().all() for values in scores.values())


def test_a_batch_is_judged_as_its_images_are_one_by_one(tiny, images):
    images, classes = 10 * images, [4, 0, 2]
    maps = rb.explain(tiny, images, classes)
    batch = rb.evaluate(tiny, images, maps, classes, method="reciprocam")
    for n in range(3):
        one = slice(n, n + 1)
        single = rb.evaluate(tiny, images[one], maps[one], classes[one], method="reciprocam")
        for name, values in single.items():
            torch.testing.assert_close(values[0], batch[name][n], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 1, 4, 4), (2, 4, 4), (4, 4)])
def test_maps_of_the_wrong_shape_are_refused(tiny, images, shape):
    message = message_of(rb.evaluate, tiny, images, torch.rand(shape))
    assert message == f"maps must be (N, h, w) with one map an image; they are {shape}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics": ("coherency",)}, "coherency explains changed images; name the method the maps were made with"),
        ({"metrics": ("coherncy",)}, "unknown metric 'coherncy'; did you mean 'coherency'? (rcam-bench ls metrics)"),
        ({"metrics": ("increase", "increase")}, "metrics: 'increase' is listed twice; remove one, or give one a label"),
        ({"protocol": "poppi-2012", "method": "cam"}, "unknown protocol 'poppi-2012'; did you mean 'poppi-2021'?"),
        ({"method": "score-cam"}, "unknown method 'score-cam'; did you mean 'scorecam'?"),
        ({"method": "gradcam", "mask": "gaussian"}, "method 'gradcam': unknown option 'mask'"),
        ({"classes": "all", "method": "cam"}, "classes='all' is not understood here; give indices or None"),
    ],
)
def test_evaluate_names_what_does_not_fit(tiny, images, maps, options, words):
    assert words in message_of(rb.evaluate, tiny, images, maps, **options)


def test_a_metric_made_of_coherency_needs_the_method_too(tiny, images, maps, new_metric):
    name = new_metric("test-doubt", lambda coherency: 1 - coherency, higher_is_better=False)
    assert "name the method the maps were made with" in message_of(rb.evaluate, tiny, images, maps, metrics=(name,))
    scores = rb.evaluate(tiny, images, maps, metrics=(name, "coherency"), method="reciprocam")
    torch.testing.assert_close(scores[name], 1 - scores["coherency"])


def test_metrics_take_options_and_labels(tiny, images, maps, new_metric):
    def above(saliency, *, level: float = 0.5):
        return (saliency > level).float().mean((1, 2))

    name = new_metric("test-above", above, higher_is_better=False)
    asked = (name, {"name": name, "level": 0.9}, {"name": name, "level": 0, "label": "all"})
    scores = rb.evaluate(tiny, images, maps, metrics=asked)
    assert list(scores) == ["test-above", "test-above[level=0.9]", "all"]
    assert (scores["test-above[level=0.9]"] < scores["test-above"]).all() and scores["all"].mean() > 0.9
    assert "option 'level'" in message_of(rb.evaluate, tiny, images, maps, metrics=({"name": name, "level": "x"},))


def test_evaluate_refuses_a_single_image_without_its_batch_axis(tiny, images, maps):
    assert "images must be (N, 3, H, W)" in message_of(rb.evaluate, tiny, images[0], maps, metrics=("increase",))


def test_options_without_a_method_are_refused_not_ignored(tiny, images, maps):
    assert "mask" in message_of(rb.evaluate, tiny, images, maps, metrics=("increase",), mask="gaussian")


def test_a_method_that_cannot_explain_the_masked_images_is_refused(nonlinear, images):
    maps = rb.explain(nonlinear, images)
    assert "custom split at '0' has another" in message_of(rb.evaluate, nonlinear, images, maps, method="cam")


def test_images_are_left_as_they_were(tiny, images):
    before = images.clone()
    rb.evaluate(dataclasses.replace(tiny), images, rb.explain(tiny, images), method="reciprocam")
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[:0], "images must be (N, 3, H, W); they are (0, 3, 16, 16)"),
        (lambda x: x.double(), "images are torch.float64, the network is torch.float32"),
        (lambda x: (255 * x).to(torch.uint8), "images are torch.uint8, the network is torch.float32"),
    ],
)
def test_images_of_another_kind_are_refused_in_one_line(tiny, images, change, words):
    assert words in message_of(rb.explain, tiny, change(images))


def test_classes_that_are_true_or_false_are_no_indices(tiny, images):
    assert "whole numbers" in message_of(rb.explain, tiny, images, torch.tensor([True, False, True]))


@pytest.mark.parametrize("images", [None, [[1.0]], "cat.jpg"])
def test_images_that_are_no_tensor_are_refused(tiny, images):
    assert "images must be a tensor (N, 3, H, W)" in message_of(rb.explain, tiny, images)


def test_images_that_the_network_cannot_take_are_named_with_the_size_it_was_split_for(tiny):
    message = message_of(rb.explain, tiny, torch.randn(2, 4, 16, 16))
    assert "images (2, 4, 16, 16) cannot be run through custom, whose features were (8, 4, 4) on the example" in message


@pytest.mark.parametrize("classes", [["1", "2", "3"], {}, [[1], [2, 3]]])
def test_classes_of_no_kind_are_refused(tiny, images, classes):
    assert "classes: " in message_of(rb.explain, tiny, images, classes)


@pytest.mark.parametrize("device", ["gpu", "", None, "CPU"])
def test_a_device_that_does_not_exist_is_named(tiny_net, images, device):
    assert "is unknown; use cpu, cuda or mps" in message_of(rb.split_backbone, tiny_net, images, device=device)


def test_what_is_no_map_no_backbone_or_needs_objects_is_told(tiny: rb.Backbone) -> None:
    images = torch.rand(2, 3, 16, 16)
    maps = rb.explain(tiny, images, method="gradcam")
    with pytest.raises(rb.UserError, match=r"maps must be a tensor \(N, h, w\); they are a ndarray"):
        rb.evaluate(tiny, images, maps.numpy(), metrics=["complexity"])
    with pytest.raises(rb.UserError, match="pointing_game needs annotated objects; rcam-bench run measures it"):
        rb.evaluate(tiny, images, maps, metrics=["pointing_game"])
    with pytest.raises(rb.UserError, match="a Linear is no backbone; make one with load_backbone"):
        rb.explain(torch.nn.Linear(2, 2), images)
    with pytest.raises(rb.UserError, match="example_input holds no image"):
        rb.split_backbone(torch.nn.Identity(), torch.randn(0, 3, 16, 16))
    with pytest.raises(rb.UserError, match="example_input holds no image"):
        rb.split_backbone(torch.nn.Identity(), torch.zeros(2, 3, 0, 0))
    with pytest.raises(rb.UserError, match="cannot take images"):
        rb.split_backbone(torch.nn.Linear(3, 2), torch.tensor(1.0))
    with pytest.raises(rb.UserError, match="image_size: -3 is no side of images"):
        rb.load_backbone("torchvision/resnet18", weights="none", image_size=-3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"insertion_auc": {"variant": "nope"}}, "options.insertion_auc: metric 'insertion_auc': option 'variant'"),
        ({"insertion_aucc": {}}, "options.insertion_aucc: unknown metric 'insertion_aucc'"),
        ({"top_drop": {"keep": 7}}, "options.top_drop: metric 'top_drop': option 'keep'"),
    ],
)
def test_options_of_a_protocol_are_checked(tiny, images, tmp_path, options, told):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "base": "standard", "options": options}))
    maps = torch.rand(3, 4, 4)
    with pytest.raises(rb.UserError, match=told):
        rb.evaluate(tiny, images, maps, protocol=str(path), metrics=["average_drop"])
