"""Faster Score-CAM: Score-CAM's own loop over the channels that vary most."""

import pytest
import torch
from channel_loops import VARIANTS, assert_maps_close, by_loop, counted, with_features

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.methods.fasterscorecam import fasterscorecam
from reciprocam_bench.explainers.methods.scorecam import scorecam
from reciprocam_bench.explainers.registry import make_method


@pytest.fixture
def fp(tiny, images) -> ForwardPass:
    return forward_pass(tiny, 10 * images, torch.tensor([4, 0, 2]))


@pytest.mark.parametrize("channels", [1, 3, 8, 100])
@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_most_variable_channels_are_scored(tiny_net, fp, variant, channels):
    some, counter = counted(fp)
    maps = fasterscorecam(some, variant=variant, channels=channels)
    assert_maps_close(maps, by_loop(variant, tiny_net, fp, channels))
    assert counter.images <= 3 * min(channels, 8)


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_channels_are_score_cam_and_few_are_not(fp, variant):
    whole = scorecam(fp, variant=variant)
    assert_maps_close(fasterscorecam(fp, variant=variant, channels=8), whole)
    assert (fasterscorecam(fp, variant=variant, channels=2) - whole).abs().max() > 1e-3 * whole.max()


def test_each_image_has_its_own_most_variable_channels(tiny_net, fp):
    def change(features: torch.Tensor) -> None:
        for n, k in enumerate([1, 5, 6]):
            features[n, k, 0, 0] += 50

    changed = with_features(fp, change)
    assert_maps_close(fasterscorecam(changed, channels=1), by_loop("paper", tiny_net, changed, 1))


@pytest.mark.parametrize("value", [0, -1, "many"])
def test_a_number_of_channels_that_makes_no_sense_is_refused(value):
    with pytest.raises(rb.UserError, match="method 'fasterscorecam': option 'channels': Input should be"):
        make_method("fasterscorecam", {"channels": value}, "t")


@pytest.mark.parametrize(("options", "forwards"), [({}, 9.0), ({"channels": 3}, 4.0), ({"channels": 99}, 9.0)])
def test_the_cost_is_one_forward_a_channel_and_the_shared_one(tiny, options, forwards):
    assert make_method("fasterscorecam", options, "t").forwards(tiny) == forwards
