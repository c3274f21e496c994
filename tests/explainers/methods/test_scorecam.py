"""Score-CAM: each variant against a plain loop over channels, written from the definitions."""

import dataclasses

import pytest
import torch
from channel_loops import VARIANTS, assert_maps_close, by_loop, counted, with_features
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.methods.scorecam import scorecam
from reciprocam_bench.explainers.registry import make_method


def make_odd(features: torch.Tensor) -> None:
    """Dead, constant and duplicated one-hot channels, as real networks have them: 4 masks of 8 channels are left."""
    features[:, 0] = 0
    features[:, 1] = 2.5
    features[:, 2:5] = 0
    features[:, 2, 1, 1], features[:, 3, 1, 1], features[:, 4, 0, 3] = 0.7, 3.0, 1.0


@pytest.fixture
def fp(tiny, images) -> ForwardPass:
    """The first layers act on 10 times the images, so that masks change the answers."""
    return forward_pass(tiny, 10 * images, torch.tensor([4, 0, 2]))


@pytest.fixture
def signed(images) -> tuple[nn.Module, ForwardPass]:
    """A net whose features have both signs."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.Flatten(), nn.Linear(96, 5)).eval()
    return net, forward_pass(rb.split_backbone(net, images), 5 * images, torch.tensor([4, 0, 2]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_is_the_loop_over_channels(tiny_net, fp, variant):
    maps, expected = scorecam(fp, variant=variant), by_loop(variant, tiny_net, fp)
    assert_maps_close(maps, expected)
    others = [by_loop(v, tiny_net, fp) for v in VARIANTS if v != variant]
    assert all((other - expected).abs().max() > 1e-3 * expected.max() for other in others), "variants cannot be told"


@pytest.mark.parametrize("variant", VARIANTS)
def test_negative_sums_are_cut_at_feature_resolution(signed, variant):
    net, fp = signed
    maps = scorecam(fp, variant=variant)
    assert (maps == 0).any() and (maps > 0).any()
    assert_maps_close(maps, by_loop(variant, net, fp))


@pytest.mark.parametrize("variant", VARIANTS)
def test_dead_constant_and_duplicated_channels_are_what_the_loop_makes_of_them(tiny_net, fp, variant):
    odd = with_features(fp, make_odd)
    assert_maps_close(scorecam(odd, variant=variant), by_loop(variant, tiny_net, odd))


@pytest.mark.parametrize(("variant", "black"), [("paper", 0), ("torch-cam", 3), ("grad-cam", 3)])
def test_constant_channels_are_never_forwarded_and_equal_masks_only_once(fp, variant, black):
    odd, counter = counted(with_features(fp, make_odd))
    scorecam(odd, variant=variant)
    assert counter.images == 3 * 5 + black  # two one-hot masks and three others an image, and a black one


def test_equal_masks_of_different_images_are_kept_apart(tiny_net, fp):
    same = with_features(fp, lambda features: features.copy_(features[:1].clone().expand_as(features)))
    assert_maps_close(scorecam(same), by_loop("paper", tiny_net, same))
    assert (scorecam(same)[0] - scorecam(same)[1]).abs().max() > 1e-4


@pytest.mark.parametrize("variant", VARIANTS)
def test_images_may_differ_in_their_number_of_live_channels(tiny_net, fp, variant):
    def change(features: torch.Tensor) -> None:
        features[0] = 0
        features[1, :5] = 1

    uneven = with_features(fp, change)
    assert_maps_close(scorecam(uneven, variant=variant)[1:], by_loop(variant, tiny_net, uneven)[1:])
    assert scorecam(uneven, variant=variant)[0].abs().max() == 0


def test_a_batch_of_constant_features_has_a_map_without_nan_and_costs_nothing(fp):
    flat, counter = counted(with_features(fp, lambda features: features.fill_(1.5)))
    maps = scorecam(flat)
    assert maps.tolist() == torch.zeros(3, 4, 4).tolist()
    assert counter.images == 0


@pytest.mark.parametrize("variant", ["torch-cam", "grad-cam"])
def test_constant_features_share_the_softmax_equally(fp, variant):
    flat = with_features(fp, lambda features: features.copy_(torch.arange(8.0)[:, None, None].expand_as(features)))
    torch.testing.assert_close(scorecam(flat, variant=variant), torch.full((3, 4, 4), 3.5))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("images_at_once", [1, 5, 23])
def test_the_chunk_size_changes_nothing(fp, variant, images_at_once):
    backbone = dataclasses.replace(fp.backbone, memory_budget=images_at_once, bytes_per_image=1)
    small = dataclasses.replace(fp, backbone=backbone)
    assert_maps_close(scorecam(small, variant=variant), scorecam(fp, variant=variant))


@pytest.mark.parametrize(("budget", "largest"), [(1, 1), (7, 6), (1000, 24)])
def test_chunks_are_of_equal_size_and_within_the_budget(fp, budget, largest):
    sizes = []

    class Noting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(len(x))
            return fp.backbone.features(x)

    backbone = dataclasses.replace(fp.backbone, features=Noting(), memory_budget=budget, bytes_per_image=1)
    scorecam(dataclasses.replace(fp, backbone=backbone))
    assert (sum(sizes), max(sizes)) == (24, largest)
    assert max(sizes) - min(sizes) <= 1


def test_the_cost_is_one_forward_a_channel(tiny):
    assert make_method("scorecam", {}, "t").forwards(tiny) == 8.0


def test_the_features_are_left_as_they_were(fp):
    features, images = fp.features.clone(), fp.images.clone()
    for variant in VARIANTS:
        scorecam(fp, variant=variant)
    assert torch.equal(fp.features, features) and torch.equal(fp.images, images)
