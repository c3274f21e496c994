"""Eigen-CAM and Eigen-Grad-CAM: the components of features, and of gradient times features."""

import pytest
import torch

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import forward_pass, head_gradients
from reciprocam_bench.explainers.principal_component import first_component


@pytest.mark.parametrize("centred", [False, True])
def test_eigencam_is_the_component_of_the_features(tiny, images, centred):
    maps = rb.explain(tiny, images, method="eigencam", centred=centred)
    torch.testing.assert_close(maps, first_component(forward_pass(tiny, images).features, centred), rtol=0, atol=0)


def test_eigencam_knows_no_class_and_eigengradcam_does(tiny, images):
    for method, same in (("eigencam", True), ("eigengradcam", False)):
        first, second = (rb.explain(tiny, images, c, method) for c in (0, 3))
        assert torch.equal(first, second) == same


@pytest.mark.parametrize("centred", [False, True])
def test_eigengradcam_is_the_component_of_gradient_times_features(tiny, images, centred):
    fp = forward_pass(tiny, images, torch.tensor([4, 0, 2]))
    expected = first_component(head_gradients(fp) * fp.features, centred)
    maps = rb.explain(tiny, images, [4, 0, 2], "eigengradcam", centred=centred)
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-5)
