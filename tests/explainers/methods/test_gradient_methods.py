"""The gradient family against plain loops over channels and positions, on a head that is not linear."""

import dataclasses

import pytest
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass, head_gradients
from reciprocam_bench.explainers.pixel_weights import pixel_weights
from reciprocam_bench.explainers.registry import EXPLAINERS

CLASSES = [4, 0, 2]


@pytest.fixture
def deep() -> nn.Module:
    """A smooth head, so that gradients differ from place to place and second derivatives exist."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(96, 9), nn.Tanh(), nn.Linear(9, 5)),
    ).eval()


@pytest.fixture
def fp(deep, images) -> ForwardPass:
    return forward_pass(rb.split_backbone(deep, images, "0"), images, torch.tensor(CLASSES))


@pytest.fixture
def gradients(deep, fp) -> torch.Tensor:
    """``d logit_c / dA`` by differentiating the user's own head, one image at a time."""
    found = []
    for features, c in zip(fp.features, CLASSES, strict=True):
        leaf = features[None].clone().requires_grad_()
        deep[1](leaf)[0, c].backward()
        found.append(leaf.grad[0])
    return torch.stack(found)


def weighted(fp: ForwardPass, weights: list[list[float]]) -> torch.Tensor:
    """``ReLU(sum_k w_k A_k)``."""
    return torch.stack(
        [
            sum(w * a for w, a in zip(ws, f, strict=True)).clamp(min=0)
            for ws, f in zip(weights, fp.features, strict=True)
        ]
    )


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert expected.abs().max() > 0, "the test has nothing to compare"
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def explain(fp: ForwardPass, method: str, **options) -> torch.Tensor:
    return EXPLAINERS.get(method).function(fp, **options).detach()


def test_the_gradients_are_those_of_the_users_head(fp, gradients):
    close(head_gradients(fp), gradients)
    assert gradients.flatten(2).std(2).min() > 0, "gradients are the same everywhere: the methods cannot be told apart"


def test_gradcampp(fp, gradients):
    weights = []
    for g, a in zip(gradients, fp.features, strict=True):
        row = []
        for k in range(len(a)):
            total = 0.0
            for i in range(4):
                for j in range(4):
                    d = float(g[k, i, j])
                    below = 2 * d**2 + float(a[k].sum()) * d**3
                    total += (d**2 / below if below else 0.0) * max(d, 0.0)
            row.append(total)
        weights.append(row)
    close(explain(fp, "gradcam++"), weighted(fp, weights))
    close(explain(fp, "gradcampp"), weighted(fp, weights))


def test_the_pixel_weights_of_no_gradient_are_0():
    features, zero = torch.rand(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    assert pixel_weights(features, zero, zero).abs().max() == 0
    # 2 g^2 + S g^3 = 0 at g = -2 / S; the weight is left out, not infinite.
    s = torch.full((1, 1, 1, 1), 4.0)
    assert pixel_weights(s, torch.full_like(s, 0.25), torch.full_like(s, -0.125)).item() == 0


def test_xgradcam(fp, gradients):
    weights = [
        [float((g[k] * a[k]).sum() / (a[k].sum() + 1e-7)) for k in range(6)]
        for g, a in zip(gradients, fp.features, strict=True)
    ]
    close(explain(fp, "xgradcam"), weighted(fp, weights))


def test_layercam_hirescam_and_element_wise(fp, gradients):
    a = fp.features
    close(explain(fp, "layercam"), (gradients.clamp(min=0) * a).sum(1))
    close(explain(fp, "hirescam"), (gradients * a).sum(1).clamp(min=0))
    close(explain(fp, "gradcamelementwise"), (gradients * a).clamp(min=0).sum(1))


def test_behind_a_pooled_linear_head_hirescam_and_xgradcam_are_gradcam(tiny, images):
    fp = forward_pass(tiny, images, torch.tensor(CLASSES))
    for name in ("hirescam", "xgradcam", "shapleycam"):
        options = {"utility": "logit"} if name == "shapleycam" else {}
        close(explain(fp, name, **options), explain(fp, "gradcam"))


def test_smooth_gradcampp_averages_powers_of_the_gradients_of_noisy_images(deep, fp):
    from reciprocam_bench.explainers.noise import generators

    expected = []
    for n, generator in enumerate(generators(fp, 3, "smoothgradcam++")):
        powers = [torch.zeros_like(fp.features[n]) for _ in range(3)]
        for _ in range(5):
            noisy = fp.images[n] + 0.4 * torch.randn(3, 16, 16, generator=generator)
            leaf = deep[0](noisy[None]).detach().requires_grad_()
            deep[1](leaf)[0, CLASSES[n]].backward()
            powers = [p + leaf.grad[0] ** e / 5 for e, p in enumerate(powers, start=1)]
        first, second, third = powers
        a = fp.features[n]
        alpha = second / (2 * second + a.sum((1, 2), keepdim=True) * third)
        weights = (alpha.nan_to_num() * first.clamp(min=0)).sum((1, 2))
        expected.append((weights[:, None, None] * a).sum(0).clamp(min=0))
    close(explain(fp, "smoothgradcam++", samples=5, std=0.4, seed=3), torch.stack(expected))
    close(explain(fp, "smoothgradcam++", samples=2, std=0.0), explain(fp, "gradcam++"))


@pytest.mark.parametrize("utility", ["rest", "logit"])
def test_shapleycam_is_the_second_order_shapley_value(deep, fp, utility):
    """Gradient and Hessian from ``torch.autograd.functional``, the Hessian as a matrix."""
    expected = []
    for features, c in zip(fp.features, CLASSES, strict=True):

        def score(flat: torch.Tensor, c: int = c) -> torch.Tensor:
            logits = deep[1](flat.view(1, 6, 4, 4))[0]
            return logits[c] + (logits.log_softmax(0)[c] if utility == "rest" else 0)

        flat = features.flatten()
        gradient = torch.autograd.functional.jacobian(score, flat)
        hessian = torch.autograd.functional.hessian(score, flat)
        weights = (gradient - hessian @ flat / 2).view(6, 16).mean(1)
        expected.append((weights[:, None, None] * features).sum(0).clamp(min=0))
    maps = explain(fp, "shapleycam", utility=utility)
    close(maps, torch.stack(expected))
    assert (maps - explain(fp, "gradcam")).abs().max() > 1e-3 * maps.max(), "the Hessian does nothing here"


def test_the_residual_softmax_matters_behind_a_linear_head(tiny, images):
    fp = forward_pass(tiny, images, torch.tensor(CLASSES))
    assert (explain(fp, "shapleycam") - explain(fp, "gradcam")).abs().max() > 1e-3


def test_the_residual_of_a_multi_label_network_is_that_of_a_sigmoid(deep, fp):
    backbone = dataclasses.replace(fp.backbone, multi_label=True)
    expected = []
    for features, c in zip(fp.features, CLASSES, strict=True):

        def score(flat: torch.Tensor, c: int = c) -> torch.Tensor:
            logit = deep[1](flat.view(1, 6, 4, 4))[0, c]
            return logit + nn.functional.logsigmoid(logit)

        flat = features.flatten()
        gradient = torch.autograd.functional.jacobian(score, flat)
        hessian = torch.autograd.functional.hessian(score, flat)
        weights = (gradient - hessian @ flat / 2).view(6, 16).mean(1)
        expected.append((weights[:, None, None] * features).sum(0).clamp(min=0))
    close(explain(dataclasses.replace(fp, backbone=backbone), "shapleycam"), torch.stack(expected))


def test_finercam_differentiates_the_difference_to_the_nearest_classes(deep, fp):
    for base in ("gradcam", "layercam"):
        expected = []
        for n, c in enumerate(CLASSES):
            logits = fp.logits[n]
            others = sorted((k for k in range(5) if k != c), key=lambda k: abs(float(logits[k] - logits[c])))[:2]
            leaf = fp.features[n : n + 1].clone().requires_grad_()
            out = deep[1](leaf)[0]
            (out[c] - 0.6 * sum(out[k] for k in others) / 2).backward()
            g, a = leaf.grad[0], fp.features[n]
            weights = g.mean((1, 2), keepdim=True) if base == "gradcam" else g.clamp(min=0)
            expected.append((weights * a).sum(0).clamp(min=0))
        close(explain(fp, "finercam", base=base, references=2), torch.stack(expected))
    close(explain(fp, "finercam", gamma=0.0), explain(fp, "gradcam"))


@pytest.mark.parametrize("base", ["reciprocam", *(n for n, spec in EXPLAINERS.all().items() if spec.own_question)])
def test_finercam_needs_a_gradient_method(tiny, images, base):
    with pytest.raises(rb.UserError, match=f"finercam': base '{base}' differentiates no logit; take gradcam"):
        rb.explain(tiny, images, method="finercam", base=base)


def test_a_gradient_method_without_a_question_of_its_own_asks_the_score_of_the_pass(tiny, images):
    """Else FinerCAM would return its base's map and call it contrastive."""
    fp = forward_pass(tiny, images, torch.tensor(CLASSES))
    asked = []

    def score(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        asked.append(len(logits))
        return logits.gather(1, classes[:, None])[:, 0]

    for name, spec in EXPLAINERS.all().items():
        if spec.gradients and not spec.own_question:
            asked.clear()
            explain(dataclasses.replace(fp, score=score), name)
            assert asked, f"{name} does not ask ForwardPass.score; it has own_question"


def test_finercam_of_an_unknown_base_or_of_one_class_is_refused(tiny, images):
    with pytest.raises(rb.UserError, match="unknown method 'gradcm'; did you mean 'gradcam'"):
        rb.explain(tiny, images, method="finercam", base="gradcm")
    lonely = dataclasses.replace(tiny, num_classes=1)
    with pytest.raises(rb.UserError, match="one class only"):
        rb.explain(lonely, images, method="finercam")


@pytest.mark.parametrize("name", [name for name, spec in EXPLAINERS.all().items() if spec.gradients])
def test_gradient_methods_work_in_a_callers_no_grad_and_inference_mode(tiny, images, name):
    options = {"iterations": 2} if name == "opticam" else {}
    expected = rb.explain(tiny, images, CLASSES, name, **options)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            torch.testing.assert_close(rb.explain(tiny, images.clone(), CLASSES, name, **options).clone(), expected)
