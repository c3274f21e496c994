"""Score-CAM: each variant against a plain loop over channels, written from the definitions."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.registry import make_method
from reciprocam_bench.explainers.scorecam import scorecam

VARIANTS = ["paper", "torch-cam", "grad-cam"]


def constant(channel: torch.Tensor) -> bool:
    """Asked before upsampling, which gives a constant a ripple of rounding errors."""
    return bool(channel.max() == channel.min())


def minmax(values: torch.Tensor) -> torch.Tensor:
    return (values - values.min()) / (values.max() - values.min())


def upsampled(channel: torch.Tensor, size: torch.Size, align_corners: bool = False) -> torch.Tensor:
    return F.interpolate(channel[None, None], size=size, mode="bilinear", align_corners=align_corners)[0, 0]


def paper(net: nn.Module, image: torch.Tensor, features: torch.Tensor, c: int, channels: list[int]) -> torch.Tensor:
    """haofanwang/Score-CAM: probability as weight; channels with max = min are skipped."""
    total = torch.zeros_like(features[0])
    for k in channels:
        if not constant(features[k]):
            mask = minmax(upsampled(features[k], image.shape[1:]))
            total += net((image * mask)[None]).softmax(1)[0, c] * features[k]
    return total.clamp(min=0)


def torch_cam(net: nn.Module, image: torch.Tensor, features: torch.Tensor, c: int, channels: list[int]) -> torch.Tensor:
    """Min-max before upsampling; softmax over channels of the logit's gain over the unmasked image."""
    baseline = net(image[None])[0, c]
    black = torch.zeros(image.shape[1:])
    masks = [black if constant(features[k]) else upsampled(minmax(features[k]), image.shape[1:]) for k in channels]
    gains = torch.stack([net((image * mask)[None])[0, c] - baseline for mask in masks])
    return sum(w * features[k] for w, k in zip(gains.softmax(0), channels, strict=True)).clamp(min=0)


def grad_cam(net: nn.Module, image: torch.Tensor, features: torch.Tensor, c: int, channels: list[int]) -> torch.Tensor:
    """Upsampling with aligned corners, then min-max; softmax over channels of the logit."""
    black = torch.zeros(image.shape[1:])
    masks = [
        black if constant(features[k]) else minmax(upsampled(features[k], image.shape[1:], align_corners=True))
        for k in channels
    ]
    logits = torch.stack([net((image * mask)[None])[0, c] for mask in masks])
    return sum(w * features[k] for w, k in zip(logits.softmax(0), channels, strict=True)).clamp(min=0)


LOOPS = {"paper": paper, "torch-cam": torch_cam, "grad-cam": grad_cam}


def by_loop(variant: str, net: nn.Module, fp: ForwardPass, channels: int | None = None) -> torch.Tensor:
    """The loop of a variant over every image, on its most variable ``channels``."""
    maps = []
    with torch.no_grad():
        for image, features, c in zip(fp.images, fp.features, fp.classes.tolist(), strict=True):
            order = sorted(range(len(features)), key=lambda k: -float(features[k].var()))
            maps.append(LOOPS[variant](net, image, features, c, order[:channels]))
    return torch.stack(maps)


class Counting(nn.Module):
    """Counts the images that pass."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.images = inner, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.images += len(x)
        return self.inner(x)


def counted(fp: ForwardPass) -> tuple[ForwardPass, Counting]:
    counter = Counting(fp.backbone.features)
    return dataclasses.replace(fp, backbone=dataclasses.replace(fp.backbone, features=counter)), counter


def with_features(fp: ForwardPass, change) -> ForwardPass:
    """A forward pass of the same images whose features ``change`` has been at."""
    features = fp.features.clone()
    change(features)
    return dataclasses.replace(fp, features=features)


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


def assert_maps_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


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


@pytest.mark.parametrize(("variant", "black"), [("paper", 0), ("torch-cam", 1), ("grad-cam", 1)])
def test_constant_channels_are_never_forwarded_and_equal_masks_only_once(fp, variant, black):
    odd, counter = counted(with_features(fp, make_odd))
    scorecam(odd, variant=variant)
    assert counter.images == 3 * 5 + black  # two one-hot masks and three others an image; one black image for all


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


@pytest.mark.parametrize("channels", [1, 3, 8, 100])
@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_most_variable_channels_are_scored(tiny_net, fp, variant, channels):
    some, counter = counted(fp)
    maps = scorecam(some, variant=variant, channels=channels)
    assert_maps_close(maps, by_loop(variant, tiny_net, fp, channels))
    assert counter.images <= 3 * min(channels, 8) + (variant != "paper")


def test_each_image_has_its_own_most_variable_channels(tiny_net, fp):
    def change(features: torch.Tensor) -> None:
        for n, k in enumerate([1, 5, 6]):
            features[n, k, 0, 0] += 50

    assert_maps_close(
        scorecam(with_features(fp, change), channels=1), by_loop("paper", tiny_net, with_features(fp, change), 1)
    )


@pytest.mark.parametrize("value", [0, -1, "many"])
def test_a_number_of_channels_that_makes_no_sense_is_refused(value):
    with pytest.raises(rb.UserError, match="method 'scorecam': option 'channels': Input should be"):
        make_method("scorecam", {"channels": value}, "t")


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


@pytest.mark.parametrize(("options", "forwards"), [({}, 8.0), ({"channels": 3}, 3.0), ({"channels": 99}, 8.0)])
def test_the_cost_is_one_forward_a_channel(tiny, options, forwards):
    assert make_method("scorecam", options, "t").forwards(tiny) == forwards


def test_the_features_are_left_as_they_were(fp):
    features, images = fp.features.clone(), fp.images.clone()
    for variant in VARIANTS:
        scorecam(fp, variant=variant, channels=4)
    assert torch.equal(fp.features, features) and torch.equal(fp.images, images)
