"""A linear head of one's own behind a backbone's map."""

import timm
import torch

import reciprocam_bench as rb
from reciprocam_bench.backbones.fitted_head import pooled_features, with_linear_head


def test_behind_a_transformer_it_reads_the_patches_alone():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 160, 160)
    backbone = rb.split_backbone(timm.create_model("test_vit", num_classes=10), images)
    weight, bias = torch.randn(3, 64), torch.randn(3)
    fitted = with_linear_head(backbone, weight, bias)
    maps, context = backbone.encode(images)
    assert context is not None
    expected = maps.mean((2, 3)) @ weight.T + bias
    torch.testing.assert_close(pooled_features(backbone, images), maps.mean((2, 3)))
    torch.testing.assert_close(fitted(images), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(fitted.classify(maps), expected, rtol=0, atol=1e-5)
    explained = [rb.explain(fitted, images, 2, method).shape for method in ("cam", "gradcam")]
    assert explained == [(2, 10, 10), (2, 10, 10)]
