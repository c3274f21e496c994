"""What every explainer receives."""

import dataclasses

import pytest
import torch

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import forward_pass, head_gradients, of_class
from reciprocam_bench.explainers.registry import make_method


def test_a_forward_pass_holds_features_and_logits_of_the_uncut_network(tiny, tiny_net, images):
    fp = forward_pass(tiny, images)
    with torch.no_grad():
        torch.testing.assert_close(fp.features, tiny_net.stem(images), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(fp.logits, tiny_net(images), rtol=1e-4, atol=1e-6)
    assert len(fp) == 3
    assert not fp.features.requires_grad and not fp.logits.requires_grad


def test_the_predicted_class_is_explained_where_none_is_given(tiny, tiny_net, images):
    with torch.no_grad():
        tiny_net.fc.bias.zero_()
        expected = tiny_net(images).argmax(1)
    classes = forward_pass(rb.split_backbone(tiny_net, images), images).classes
    assert (classes.dtype, classes.tolist()) == (torch.int64, expected.tolist())


def test_given_classes_become_int64(tiny, images):
    classes = forward_pass(tiny, images, torch.tensor([4, 0, 2], dtype=torch.int32)).classes
    assert (classes.dtype, classes.tolist()) == (torch.int64, [4, 0, 2])


def test_probabilities_are_the_softmax_of_each_images_class(tiny, images):
    fp = forward_pass(tiny, images, torch.tensor([4, 0, 2]))
    expected = [fp.logits[n, c].exp() / fp.logits[n].exp().sum() for n, c in enumerate([4, 0, 2])]
    torch.testing.assert_close(fp.probabilities, torch.stack(expected))


def test_of_class_picks_one_score_a_row():
    scores = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert of_class(scores, torch.tensor([2, 0])).tolist() == [3.0, 4.0]


def test_head_gradients_of_a_pooled_linear_head_are_its_weights_over_the_positions(tiny, images):
    gradients = head_gradients(forward_pass(tiny, images, torch.tensor([4, 0, 2])))
    expected = tiny.linear.weight[[4, 0, 2]][:, :, None, None].expand(3, 8, 4, 4) / 16
    torch.testing.assert_close(gradients, expected)


def test_head_gradients_agree_with_finite_differences(images):
    torch.manual_seed(0)
    head = [torch.nn.Flatten(), torch.nn.Linear(64, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3)]
    backbone = rb.split_backbone(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 4, stride=4), *head), images)
    fp = forward_pass(backbone, images, torch.tensor([2, 0, 1]))
    gradients = head_gradients(fp)
    step = torch.zeros_like(fp.features)
    for index in [(0, 0, 0, 0), (1, 3, 2, 1), (2, 1, 3, 3)]:
        step.zero_()[index] = 1e-2
        n = index[0]
        up, down = (backbone.head(fp.features + sign * step)[n, fp.classes[n]] for sign in (1, -1))
        assert gradients[index].item() == pytest.approx((up - down).item() / 2e-2, abs=1e-4)


@pytest.mark.parametrize(
    ("method", "options", "calls"),
    [
        ("scorecam", {}, 24),  # 3 images x 8 channels, one a chunk
        ("fasterscorecam", {"variant": "grad-cam", "channels": 2}, 6),
        ("reciprocam", {"path": "batched-head"}, 48),  # 3 images x 16 positions, one a chunk
        ("reciprocam", {"path": "reference", "mask": "gaussian"}, 3),
    ],
)
def test_slow_methods_report_a_share_that_grows_to_one(tiny, images, method, options, calls):
    shares = []
    backbone = dataclasses.replace(tiny, memory_budget=1)
    make_method(method, options, method)(forward_pass(backbone, images, progress=shares.append))
    assert len(shares) == calls
    assert shares == sorted(set(shares))
    assert shares[0] == pytest.approx(1 / calls)
    assert shares[-1] == 1.0


@pytest.mark.parametrize("budget", [1, 40_000, 1 << 30])
def test_the_last_share_is_one_for_any_chunk_size(tiny, images, budget):
    for method, options in (("scorecam", {}), ("reciprocam", {"path": "batched-head"})):
        shares = []
        backbone = dataclasses.replace(tiny, memory_budget=budget)
        make_method(method, options, method)(forward_pass(backbone, images, progress=shares.append))
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
