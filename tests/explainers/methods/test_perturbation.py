"""RISE, Opti-CAM and the black-box Recipro-CAM: methods that only look at the image."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.methods.blackboxreciprocam import blackboxreciprocam, patch_masks
from reciprocam_bench.explainers.methods.opticam import opticam
from reciprocam_bench.explainers.methods.rise import random_masks, rise


@pytest.fixture
def fp(tiny, images) -> ForwardPass:
    return forward_pass(tiny, 5 * images, torch.tensor([4, 0, 2]))


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_rise_is_the_mean_of_the_masks_weighted_with_their_scores(tiny_net, fp):
    generator = torch.Generator().manual_seed(9)
    grids = (torch.rand(11, 3, 3, generator=generator) < 0.3).float()
    shifts = torch.rand(11, 2, generator=generator)
    masks = random_masks(grids, shifts, 16, 16)
    expected = torch.zeros(3, 16, 16)
    with torch.no_grad():
        for n in range(3):
            for mask in masks:
                expected[n] += tiny_net((fp.images[n] * mask)[None]).softmax(1)[0, int(fp.classes[n])] * mask
    close(rise(fp, samples=11, cells=3, probability=0.3, seed=9), expected / (11 * 0.3))


def test_rise_masks_are_as_the_paper_draws_them():
    generator = torch.Generator().manual_seed(0)
    masks = random_masks(
        (torch.rand(4000, 7, 7, generator=generator) < 0.5).float(), torch.rand(4000, 2, generator=generator), 30, 44
    )
    assert masks.shape == (4000, 30, 44)
    assert masks.min() >= 0 and masks.max() <= 1 + 1e-6
    # No pixel is favoured: the shift keeps the grid's borders from staying in place.
    assert (masks.mean(0) - 0.5).abs().max() < 6 * 0.5 / math.sqrt(4000)


def test_a_shift_moves_a_mask_by_pixels():
    grid = (torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(2)) < 0.5).float()
    still = random_masks(grid, torch.tensor([[0.0, 0.0]]), 16, 12)
    # As the authors draw them: s x s cells stretched to s + 1 times ceil(side / s) pixels.
    large = F.interpolate(grid[None], (5 * 4, 5 * 3), mode="bilinear", align_corners=False)[0]
    assert torch.equal(still, large[:, :16, :12])
    moved = random_masks(grid, torch.tensor([[0.5, 0.34]]), 16, 12)  # of 4 x 3 pixels: 2 down, 1 to the right
    assert torch.equal(moved, large[:, 2:18, 1:13])


def test_rise_calls_the_network_once_a_mask(fp):
    calls = []

    class Noting(torch.nn.Module):
        def forward(self, x):
            calls.append(len(x))
            return fp.backbone.features(x)

    backbone = dataclasses.replace(fp.backbone, features=Noting(), memory_budget=4, bytes_per_image=1)
    rise(dataclasses.replace(fp, backbone=backbone), samples=10, cells=3)
    assert (sum(calls), max(calls)) == (30, 4)


def test_opticam_climbs_the_logit_of_the_masked_image(fp):
    def logit(maps: torch.Tensor) -> torch.Tensor:
        large = F.interpolate(maps[:, None], size=(16, 16), mode="bilinear")
        low, high = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
        masked = fp.images * (large - low) / (high - low)
        return fp.backbone(masked).gather(1, fp.classes[:, None])[:, 0]

    start = logit(fp.features.mean(1))
    close(opticam(fp, iterations=1), fp.features.mean(1))
    few, many = logit(opticam(fp, iterations=5)), logit(opticam(fp, iterations=60))
    assert (few >= start - 1e-6).all() and (many >= few - 1e-6).all()
    assert (many - start).max() > 0.01


def test_opticam_is_adam_on_the_channel_weights(tiny_net, fp):
    """The same optimisation of one image written out, with the map of the best step."""
    u = torch.zeros(8, requires_grad=True)
    adam = torch.optim.Adam([u], lr=0.2)
    best, found = -math.inf, None
    for _ in range(7):
        map_ = (u.softmax(0)[:, None, None] * fp.features[1]).sum(0)
        large = F.interpolate(map_[None, None], size=(16, 16), mode="bilinear")
        logit = tiny_net(fp.images[1:2] * (large - large.min()) / (large.max() - large.min()))[0, 0]
        if logit.item() > best:
            best, found = logit.item(), map_.detach()
        adam.zero_grad()
        (-logit).backward()
        adam.step()
    close(opticam(fp, iterations=7, learning_rate=0.2)[1], found)


@pytest.mark.parametrize("score", ["softmax", "logit"])
def test_the_black_box_shows_one_patch_at_a_time(tiny_net, fp, score):
    maps = blackboxreciprocam(fp, patch=6, stride=4, score=score)
    assert maps.shape == (3, 4, 4)
    for n, c in enumerate(fp.classes.tolist()):
        for i in range(4):
            for j in range(4):
                alone = torch.zeros_like(fp.images[n])
                y, x = 4 * i + 2, 4 * j + 2  # the centre of the cell
                rows, columns = slice(max(0, y - 3), y + 3), slice(max(0, x - 3), x + 3)
                alone[:, rows, columns] = fp.images[n, :, rows, columns]
                with torch.no_grad():
                    logits = tiny_net(alone[None])
                expected = (logits.softmax(1) if score == "softmax" else logits)[0, c]
                torch.testing.assert_close(maps[n, i, j], expected, rtol=1e-4, atol=1e-5)


def test_the_gaussian_of_the_black_box_weights_the_neighbours():
    (shown,) = patch_masks(torch.tensor([6]), 5, (20, 20), stride=4, patch=4, mask="gaussian")  # cell (1, 1)
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    expected = torch.zeros(20, 20)
    expected[:12, :12] = kernel.repeat_interleave(4, 0).repeat_interleave(4, 1)
    torch.testing.assert_close(shown, expected)


@pytest.mark.parametrize(("patch", "stride"), [(4, 4), (3, 4), (4, 3), (1, 4), (2, 1), (31, 16)])
def test_a_square_has_the_side_that_is_asked_for(patch, stride):
    (shown,) = patch_masks(torch.tensor([2 * 5 + 2]), 5, (5 * stride, 5 * stride), stride, patch, "one-hot")
    inside = min(patch, 5 * stride)
    assert shown.any(0).sum() == shown.any(1).sum() == inside and shown.sum() == inside**2


def test_cells_cover_an_image_whose_sides_are_no_multiple_of_the_stride(tiny):
    fp = forward_pass(tiny, torch.randn(1, 3, 18, 24))
    assert blackboxreciprocam(fp, patch=8, stride=4).shape == (1, 5, 6)
    masks = patch_masks(torch.arange(30), 6, (18, 24), 4, 8, "one-hot")
    assert (masks.amax(0) == 1).all()


@pytest.mark.parametrize("method", ["rise", "blackboxreciprocam"])
def test_a_model_that_can_only_be_called_is_explained(tiny_net, images, method):
    options = {"samples": 5} if method == "rise" else {"patch": 8, "stride": 4}
    backbone = rb.split_backbone(lambda x: tiny_net(x), images, "image")
    expected = rb.explain(rb.split_backbone(tiny_net, images), images, [4, 0, 2], method, **options)
    close(rb.explain(backbone, images, [4, 0, 2], method, **options), expected)
