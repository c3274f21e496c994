"""Metrics that have changed images, other classes or other networks explained, and what they are made of."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import rankdata, spearmanr
from tester import METHOD, evidence, metric_of
from torch import tensor

import reciprocam_bench as rb
from reciprocam_bench.config import NamedConfig
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import forward_pass, of_class
from reciprocam_bench.explainers.noise import generators
from reciprocam_bench.explainers.registry import make_method
from reciprocam_bench.metrics.correlation import pearson, ranks, spearman
from reciprocam_bench.metrics.evidence import Evidence
from reciprocam_bench.metrics.fresh_weights import fresh_layers, fresh_weights
from reciprocam_bench.metrics.lookup import make_metrics
from reciprocam_bench.metrics.measures.random_logit import ssim
from reciprocam_bench.protocols.protocol import load_protocol


@pytest.fixture
def images() -> torch.Tensor:
    return 3 * torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def weights(backbone: rb.Backbone) -> list[torch.Tensor]:
    return [p.clone() for half in (backbone.features, backbone.head) for p in half.state_dict().values()]


def test_ranks_and_correlations_are_scipys() -> None:
    a = torch.randint(0, 5, (6, 12), generator=torch.Generator().manual_seed(0)).float()
    b = torch.rand(6, 12, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(ranks(a).numpy() + 1, rankdata(a.numpy(), axis=1))
    expected = [spearmanr(x, y).statistic for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    np.testing.assert_allclose(spearman(a, b).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(pearson(a, b)[0], np.corrcoef(a[0], b[0])[0, 1], atol=1e-6)
    assert spearman(torch.ones(1, 3), tensor([[1.0, 2.0, 3.0]])).isnan().all()


def test_explain_gives_the_methods_maps_of_other_images_and_classes(tiny: rb.Backbone, images: torch.Tensor) -> None:
    made, rows = evidence(tiny, images, range(4)), tensor([2, 0, 0, 1, 3])
    changed = images[rows].roll(2, dims=2)
    torch.testing.assert_close(made.explain(changed, rows), METHOD(forward_pass(tiny, changed, rows)))
    classes = tensor([4, 4, 1, 0, 2])
    expected = METHOD(forward_pass(tiny, changed, classes))
    torch.testing.assert_close(made.explain(changed, rows, classes=classes), expected)
    with pytest.raises(ValueError, match="give the method the maps were made with"):
        Evidence(made.fp, made.raw, load_protocol("poppi-2021")).explain(images, torch.arange(4))


def test_explaining_again_counts_towards_the_progress(tiny: rb.Backbone, images: torch.Tensor) -> None:
    shares: list[float] = []
    made = evidence(tiny, images, range(4))
    made.fp = replace(made.fp, progress=shares.append)
    made._questions = 8 * (1 + METHOD.forwards(tiny))
    made.explain(torch.cat([images, images]), torch.arange(4).repeat(2))
    assert shares == [0.5, 1.0]


def test_fresh_weights_reach_the_other_cuts_of_a_network_whose_batch_norms_are_folded() -> None:
    backbone = rb.load_backbone("torchvision/resnet18", weights="none", image_size=64)
    images = torch.rand(1, 3, 64, 64)
    known = backbone.at("layer2")
    before, after = known.encode(images)[0], backbone.encode(images)[0]
    assert backbone.folded_batch_norms and known.folded_batch_norms
    with fresh_weights(backbone, 1.0):
        changed = [
            not torch.allclose(cut.encode(images)[0], then) for cut, then in ((known, before), (backbone, after))
        ]
        assert changed == [True, True]
        torch.testing.assert_close(
            known.classify(known.encode(images)[0]), backbone.classify(backbone.encode(images)[0])
        )
    torch.testing.assert_close(known.encode(images)[0], before, rtol=0, atol=0)


def test_fresh_weights_come_from_the_last_layer_on_and_are_put_back(tiny: rb.Backbone) -> None:
    before, layers = weights(tiny), fresh_layers(tiny)
    assert [type(layer).__name__ for layer in layers] == ["Conv2d", "Linear"]
    linear = tiny.linear.weight.clone()
    with fresh_weights(tiny, 0.5):
        assert torch.equal(layers[0].weight, before[0]) and not torch.equal(layers[1].weight, linear)
        assert torch.equal(tiny.linear.weight, layers[1].weight)
        bound = 1 / math.sqrt(layers[1].in_features)
        assert layers[1].weight.abs().max() <= bound and layers[1].weight.std() > bound / 4
        last = layers[1].weight.clone()
    with fresh_weights(tiny, 1.0):
        assert not torch.equal(layers[0].weight, before[0]) and torch.equal(layers[1].weight, last)
    with pytest.raises(RuntimeError, match="stopped"), fresh_weights(tiny, 1.0):
        raise RuntimeError("stopped")
    with fresh_weights(tiny, 0.1):
        assert not torch.equal(layers[1].weight, linear), "one layer at least: the network itself does not count"
    with fresh_weights(tiny, 0.0):
        pass
    assert all(torch.equal(a, b) for a, b in zip(weights(tiny), before, strict=True))


def test_fresh_weights_leave_the_random_numbers_of_others_alone(tiny: rb.Backbone) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    with fresh_weights(tiny, 1.0):
        assert torch.rand(1) == expected


def test_batch_norms_that_are_not_folded_are_reset_with_their_statistics(tiny_net: torch.nn.Module) -> None:
    backbone = rb.split_backbone(tiny_net, torch.randn(2, 3, 16, 16), device="cpu", fold=False)
    norm = next(m for m in backbone.features.modules() if isinstance(m, torch.nn.BatchNorm2d))
    mean = norm.running_mean.clone()
    with fresh_weights(backbone, 1.0):
        assert norm.running_mean.eq(0).all() and norm.running_var.eq(1).all() and not norm.training
    assert torch.equal(norm.running_mean, mean) and mean.ne(0).any()


def test_attention_of_pytorch_gets_fresh_weights_too() -> None:
    network = SimpleNamespace(features=torch.nn.MultiheadAttention(8, 2), head=torch.nn.Linear(8, 2))
    before = network.features.in_proj_weight.clone()
    with fresh_weights(network, 1.0):  # type: ignore[arg-type]
        assert not torch.equal(network.features.in_proj_weight, before)
    assert torch.equal(network.features.in_proj_weight, before)


def test_a_map_that_is_not_finite_has_no_rank_correlation() -> None:
    rows = torch.tensor([[1.0, 2, 3], [torch.nan, 2, 3], [1, torch.inf, 3]])
    found = spearman(rows, torch.tensor([[2.0, 4, 6]]).expand(3, 3))
    assert found[0].item() == pytest.approx(1) and found[1:].isnan().all()


def test_randomisation_compares_with_the_network_of_fresh_layers(tiny: rb.Backbone, images: torch.Tensor) -> None:
    made = evidence(tiny, images, range(4))
    found = made.measure(metric_of("parameter_randomisation", steps=2))
    expected = np.zeros(4)
    for share in (0.5, 1.0):
        with fresh_weights(tiny, share):
            maps = METHOD(forward_pass(tiny, images, torch.arange(4)))
        expected += [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(made.raw, maps, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected / 2, atol=1e-5)


@pytest.mark.parametrize(("name", "value"), [("random", 1.0), ("center", 1.0)])
def test_maps_that_do_not_know_the_network_do_not_change_with_it(
    tiny: rb.Backbone, images: torch.Tensor, name: str, value: float
) -> None:
    method = make_method(name, {}, name)
    fp = forward_pass(tiny, images)
    made = Evidence(fp, method(fp), load_protocol("poppi-2021"), method)
    torch.testing.assert_close(made.measure(metric_of("parameter_randomisation")), torch.full((4,), value))


def test_a_method_that_is_blind_to_classes_has_a_random_logit_of_1(tiny: rb.Backbone, images: torch.Tensor) -> None:
    method, fp = make_method("eigencam", {}, "eigencam"), forward_pass(tiny, images)
    made = Evidence(fp, method(fp), load_protocol("poppi-2021"), method)
    torch.testing.assert_close(made.measure(metric_of("random_logit")), torch.ones(4))


def test_the_random_class_is_never_the_explained_one(tiny: rb.Backbone, images: torch.Tensor) -> None:
    made, seen = evidence(tiny, images, range(4)), []
    explain = made.explain
    made.explain = lambda x, rows, classes: (seen.append(classes), explain(x, rows, classes=classes))[1]
    for seed in range(20):
        made.measure(metric_of("random_logit", seed=seed))
    drawn = torch.stack(seen)
    assert (drawn != torch.arange(4)).all() and all(len(drawn[:, row].unique()) == 4 for row in range(4))


def test_ssim_is_that_of_a_plain_loop() -> None:
    a, b = torch.rand(2, 2, 1, 12, 15, generator=torch.Generator().manual_seed(0))
    for one, other, found in zip(a[:, 0].numpy(), b[:, 0].numpy(), ssim(a, b).tolist(), strict=True):
        values = []
        for y in range(12 - 6):
            for x in range(15 - 6):
                p, q = one[y : y + 7, x : x + 7].ravel(), other[y : y + 7, x : x + 7].ravel()
                (va, cov), (_, vb) = np.cov(p, q)
                top = (2 * p.mean() * q.mean() + 1e-4) * (2 * cov + 9e-4)
                values.append(top / ((p.mean() ** 2 + q.mean() ** 2 + 1e-4) * (va + vb + 9e-4)))
        assert found == pytest.approx(np.mean(values), abs=1e-5)
    torch.testing.assert_close(ssim(a, a), torch.ones(2))


def test_infidelity_is_that_of_a_plain_loop(tiny: rb.Backbone, images: torch.Tensor) -> None:
    pytest.importorskip("captum")
    made = evidence(tiny, images, range(4))
    found = made.measure(metric_of("infidelity", draws=5, sigma=0.3))
    for row in range(4):
        generator = generators(made.fp, 0)[row]
        score = of_class(tiny(images[[row]]), tensor([row]))
        products, drops = [], []
        for _ in range(5):
            noise = 0.3 * torch.randn(3, 16, 16, generator=generator)
            products.append((noise * made.saliency[row]).sum().item())
            drops.append((score - of_class(tiny((images[row] - noise)[None]), tensor([row]))).item())
        products, drops = np.array(products), np.array(drops)
        scale = (products * drops).mean() / (products**2).mean()
        assert found[row].item() == pytest.approx(((scale * products - drops) ** 2).mean(), rel=1e-3)


def test_max_sensitivity_is_that_of_a_plain_loop(tiny: rb.Backbone, images: torch.Tensor) -> None:
    pytest.importorskip("captum")
    made = evidence(tiny, images, range(4))
    found = made.measure(metric_of("max_sensitivity", draws=4, radius=0.5))
    for row in range(4):
        generator, changes = generators(made.fp, 0)[row], []
        for _ in range(4):
            noise = 0.5 * (2 * torch.rand(3, 16, 16, generator=generator) - 1)
            other = METHOD(forward_pass(tiny, (images[row] + noise)[None], tensor([row])))[0]
            changes.append(((other - made.raw[row]).norm() / made.raw[row].norm()).item())
        assert found[row].item() == pytest.approx(max(changes), rel=1e-3)


@pytest.mark.parametrize("name", ["infidelity", "max_sensitivity"])
def test_what_to_install_is_told_before_any_network_is_loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reciprocam_bench.metrics.lookup.find_spec", lambda module: None)
    with pytest.raises(UserError, match=rf"^metric '{name}' needs captum, which is not installed; pip install captum$"):
        make_metrics([NamedConfig.model_validate({"name": name})])
