"""The control that is told the truth."""

from dataclasses import replace

import pytest
import torch

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.registry import make_method


def test_its_map_is_the_object_of_each_image(tiny, images):
    objects = (torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    fp = replace(forward_pass(tiny, images), objects=objects)
    oracle = make_method("oracle", {}, "oracle", tiny)
    assert torch.equal(oracle(fp), objects)
    rows = torch.tensor([2, 0, 2])
    assert torch.equal(oracle(fp.select(rows, fp.classes[rows])), objects[rows])
    assert torch.equal(oracle(fp.at(tiny.layer)), objects)


def test_without_a_data_set_it_says_what_it_needs(tiny, images):
    with pytest.raises(ValueError, match="it needs annotated objects; only a run on a data set has them"):
        rb.explain(tiny, images, method="oracle")


def test_an_image_without_annotation_is_no_map(tiny, images):
    objects = torch.zeros(3, 16, 16)
    objects[1] = torch.nan
    fp = replace(forward_pass(tiny, images), objects=objects)
    with pytest.raises(ValueError, match="nothing is annotated for the class explained"):
        make_method("oracle", {}, "oracle", tiny)(fp)
