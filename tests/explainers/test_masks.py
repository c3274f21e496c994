"""The masks of the Recipro-CAM family, by hand."""

import torch

from reciprocam_bench.explainers.masks import spatial_masks


def test_one_hot_masks_have_a_single_one():
    masks = spatial_masks("one-hot", 2, 3)
    assert masks.shape == (6, 2, 3)
    assert masks[4].tolist() == [[0, 0, 0], [0, 1, 0]]
    torch.testing.assert_close(masks.sum(0), torch.ones(2, 3))


def test_gaussian_masks_are_the_kernel_cut_at_the_border():
    masks = spatial_masks("gaussian", 4, 5) * 16
    corner, edge, inside = masks[0], masks[2], masks[7]
    assert corner.tolist() == [[4, 2, 0, 0, 0], [2, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert edge.tolist() == [[0, 2, 4, 2, 0], [0, 1, 2, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert inside.tolist() == [[0, 1, 2, 1, 0], [0, 2, 4, 2, 0], [0, 1, 2, 1, 0], [0, 0, 0, 0, 0]]


def test_gaussian_masses_are_nine_sixteenths_three_quarters_and_one():
    c, e = 9 / 16, 3 / 4
    masses = spatial_masks("gaussian", 3, 4).sum((1, 2)).view(3, 4)
    assert masses.tolist() == [[c, e, e, c], [e, 1, 1, e], [c, e, e, c]]


def test_masks_of_named_positions_are_those_of_all():
    every, some = spatial_masks("gaussian", 3, 4), torch.tensor([5, 0, 11])
    torch.testing.assert_close(spatial_masks("gaussian", 3, 4, some), every[some], rtol=0, atol=0)
