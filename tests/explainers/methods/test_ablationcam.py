"""Ablation-CAM: a loop over channels, and both paths."""

import dataclasses

import pytest
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.methods.ablationcam import ablationcam


def by_loop(backbone: rb.Backbone, fp) -> torch.Tensor:
    maps = []
    for features, c in zip(fp.features, fp.classes.tolist(), strict=True):
        whole = backbone.head(features[None])[0, c]
        total = torch.zeros_like(features[0])
        for k in range(len(features)):
            without = features.clone()
            without[k] = 0
            total += (whole - backbone.head(without[None])[0, c]) / whole.abs() * features[k]
        maps.append(total.clamp(min=0))
    return torch.stack(maps)


@pytest.mark.parametrize("path", ["closed-form", "batched-head", "auto"])
def test_it_is_the_loop_over_channels(tiny, images, path):
    fp = forward_pass(tiny, images, torch.tensor([4, 0, 2]))
    assert (fp.logits.gather(1, fp.classes[:, None]) < 0).any(), "no class with a negative logit is among them"
    torch.testing.assert_close(ablationcam(fp, path=path), by_loop(tiny, fp), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("budget", [None, 1])
def test_heads_that_are_not_linear_run_in_chunks(images, budget):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(96, 7),
        nn.ReLU(),
        nn.Linear(7, 5),
    )
    backbone = dataclasses.replace(rb.split_backbone(net, images, "0"), memory_budget=budget)
    fp = forward_pass(backbone, images, torch.tensor([4, 0, 2]))
    torch.testing.assert_close(ablationcam(fp), by_loop(backbone, fp), rtol=1e-4, atol=1e-5)
    with pytest.raises(rb.UserError, match="no pooled linear head, so there is no closed form"):
        ablationcam(fp, path="closed-form")


def test_a_class_without_a_logit_gives_no_infinity(tiny, images):
    fp = forward_pass(tiny, images)
    silent = dataclasses.replace(fp, features=100 * fp.features, logits=torch.zeros_like(fp.logits))
    assert ablationcam(silent).isfinite().all()
