"""SS-CAM and IS-CAM: Score-CAM's loop with its masks changed, and Score-CAM itself where nothing changes."""

import dataclasses

import pytest
import torch
from channel_loops import assert_maps_close, constant, minmax, upsampled

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.methods.iscam import coefficients, iscam
from reciprocam_bench.explainers.methods.scorecam import scorecam
from reciprocam_bench.explainers.methods.sscam import sscam
from reciprocam_bench.explainers.registry import make_method


@pytest.fixture
def fp(tiny, images) -> ForwardPass:
    return forward_pass(tiny, 10 * images, torch.tensor([4, 0, 2]))


def by_integral(net, fp: ForwardPass, strengths: list[float]) -> torch.Tensor:
    """``sum_k mean_i p(x * c_i mask_k) A_k``, one image, channel and strength at a time."""
    maps = []
    with torch.no_grad():
        for image, features, c in zip(fp.images, fp.features, fp.classes.tolist(), strict=True):
            total = torch.zeros_like(features[0])
            for channel in features:
                if not constant(channel):
                    mask = minmax(upsampled(channel, image.shape[1:]))
                    scores = [net((image * strength * mask)[None]).softmax(1)[0, c] for strength in strengths]
                    total += sum(scores) / len(scores) * channel
            maps.append(total.clamp(min=0))
    return torch.stack(maps)


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_iscam_is_the_integral_over_the_strength_of_the_masks(tiny_net, fp, samples):
    strengths = [(i + 1) / samples for i in range(samples)]
    assert_maps_close(iscam(fp, samples=samples), by_integral(tiny_net, fp, strengths))


def test_the_accumulated_steps_are_torch_cams():
    assert coefficients(10, "accumulated") == pytest.approx([0.1, 0.3, 0.6, 1.0, 1.5, 2.1, 2.8, 3.6, 4.5, 5.5])
    assert coefficients(4, "even") == [0.25, 0.5, 0.75, 1.0]


def test_accumulated_steps_are_the_integral_beyond_the_mask(tiny_net, fp):
    assert_maps_close(iscam(fp, samples=3, steps="accumulated"), by_integral(tiny_net, fp, [1 / 3, 1.0, 2.0]))


@pytest.mark.parametrize("variant", ["paper", "torch-cam", "grad-cam"])
def test_one_step_and_no_noise_are_score_cam(fp, variant):
    expected = scorecam(fp, variant=variant)
    assert_maps_close(iscam(fp, samples=1, variant=variant), expected)
    assert_maps_close(sscam(fp, samples=3, std=0.0, variant=variant), expected)


def test_noise_is_added_to_the_masks_and_the_scores_are_averaged(tiny_net, fp):
    """A loop over channels with the noise that the seed draws for each image."""
    from reciprocam_bench.explainers.noise import generators

    expected = []
    with torch.no_grad():
        for n, generator in enumerate(generators(fp, 5, "sscam")):
            noise = 0.7 * torch.randn(3, 16, 16, generator=generator)
            total = torch.zeros(4, 4)
            for channel in fp.features[n]:
                masks = minmax(upsampled(channel, torch.Size((16, 16)))) + noise  # (3, H, W)
                scores = tiny_net(fp.images[n] * masks[:, None]).softmax(1)[:, int(fp.classes[n])]
                total += scores.mean() * channel
            expected.append(total)
    assert_maps_close(sscam(fp, samples=3, std=0.7, seed=5), torch.stack(expected))


def test_the_noise_is_that_of_image_class_and_seed(fp):
    maps = sscam(fp, samples=2)
    assert torch.equal(sscam(fp, samples=2), maps)
    assert (sscam(fp, samples=2, seed=1) - maps).abs().max() > 1e-3 * maps.max()
    small = dataclasses.replace(fp.backbone, memory_budget=3, bytes_per_image=1)
    assert_maps_close(sscam(dataclasses.replace(fp, backbone=small), samples=2), maps)


@pytest.mark.parametrize(("name", "options", "forwards"), [("sscam", {}, 280.0), ("iscam", {"samples": 4}, 32.0)])
def test_the_cost_is_a_score_cam_a_sample(tiny, name, options, forwards):
    assert make_method(name, options, "t").forwards(tiny) == forwards


def test_progress_reaches_the_end_once(fp):
    shares: list[float] = []
    iscam(dataclasses.replace(fp, progress=shares.append), samples=3)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "options"), [("sscam", {"samples": 0}), ("sscam", {"std": -1.0}), ("iscam", {"steps": "uneven"})]
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(rb.UserError, match=f"method '{name}': option '{next(iter(options))}'"):
        make_method(name, options, "t")
