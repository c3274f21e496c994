"""Fitting multi-label heads."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from reciprocam_bench.backbones.arithmetic import Arithmetic
from reciprocam_bench.backbones.fitted_head import load_linear_head, save_linear_head, with_linear_head
from reciprocam_bench.cli import main
from reciprocam_bench.config import DatasetConfig, FitHeadConfig, parse_config
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.errors import UserError
from reciprocam_bench.fitting import fit_head as module
from reciprocam_bench.fitting.fit_linear import average_precision, fit_linear

pytestmark = pytest.mark.slow

SETTINGS = FitHeadConfig.model_validate({"epochs": 60})


def _separable(n=200):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(n, 6, generator=generator) * torch.tensor([1.0, 10, 0.1, 1, 1, 1]) + 3
    labels = torch.stack([features[:, 0] > 3.5, features[:, 1] > 0, features[:, 2] > 3.1], dim=1).float()
    return features, labels


def test_a_separable_problem_is_learnt_at_any_scale_of_the_features():
    features, labels = _separable()
    fitted = fit_linear(features, labels, SETTINGS, seed=0, quiet=True)
    assert fitted.mean_ap > 0.95 > 0.7 > fitted.prior
    ap = average_precision(features @ fitted.weight.T + fitted.bias, labels)
    assert np.nanmean(ap) > 0.95


def test_unknown_labels_are_neither_fitted_nor_judged():
    features, labels = _separable()
    labels[:100, 0] = torch.nan
    assert fit_linear(features, labels, SETTINGS, seed=0, quiet=True).mean_ap > 0.9


def test_average_precision_is_sklearns_and_not_defined_without_positives():
    scores, labels = torch.tensor([[0.9, 0.1], [0.2, 0.3], [0.5, 0.2]]), torch.tensor([[1.0, 0], [0, 0], [1, 0]])
    ap = average_precision(scores, labels)
    assert ap[0] == average_precision_score([1, 0, 1], [0.9, 0.2, 0.5]) and np.isnan(ap[1])


def test_no_positive_to_hold_out_is_an_error():
    with pytest.raises(UserError, match="no category has a positive"):
        fit_linear(torch.randn(20, 3), torch.zeros(20, 2), SETTINGS, seed=0, quiet=True)


def test_a_saved_head_answers_as_the_fitted_one(tiny, images, tmp_path):
    weight, bias = torch.randn(3, 8), torch.randn(3)
    save_linear_head(tmp_path / "h.safetensors", weight, bias, {"model": "custom", "layer": tiny.layer, "dataset": "d"})
    loaded = load_linear_head(tiny, tmp_path / "h.safetensors")
    expected = tiny.features(images).mean((2, 3)) @ weight.T + bias
    torch.testing.assert_close(loaded(images), expected)
    torch.testing.assert_close(loaded.probabilities(expected), expected.sigmoid())
    assert loaded.num_classes == 3 and loaded.weights["head_dataset"] == "d"


def test_a_head_of_other_features_is_refused(tiny, tmp_path):
    path = tmp_path / "h.safetensors"
    with pytest.raises(UserError, match="does not exist; make one with"):
        load_linear_head(tiny, path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="is no head"):
        load_linear_head(tiny, path)
    save_linear_head(path, torch.zeros(3, 9), torch.zeros(3), {"model": "custom", "layer": tiny.layer})
    with pytest.raises(UserError, match="gives 8 maps"):
        load_linear_head(tiny, path)
    save_linear_head(path, torch.zeros(3, 8), torch.zeros(3), {"model": "other/net", "layer": tiny.layer})
    with pytest.raises(UserError, match="fitted on other/net"):
        load_linear_head(tiny, path)


def test_a_head_of_other_weights_is_refused(tiny, tmp_path):
    about = {"model": "custom", "layer": tiny.layer, "weights_sha256": "aaa"}
    save_linear_head(tmp_path / "h.safetensors", torch.zeros(3, 8), torch.zeros(3), about)
    with pytest.raises(UserError, match="fitted on other weights"):
        load_linear_head(tiny, tmp_path / "h.safetensors")


def test_closed_form_recipro_uses_sigmoids_on_a_multi_label_head(tiny, images):
    from reciprocam_bench import explain

    backbone = with_linear_head(tiny, torch.randn(3, 8), torch.zeros(3))
    closed, batched = (explain(backbone, images, [0, 1, 2], path=p) for p in ("closed-form", "batched-head"))
    torch.testing.assert_close(closed, batched, atol=1e-5, rtol=0)


def test_fit_head_learns_on_voc_and_keeps_its_features_when_it_is_stopped(
    data, weights_dir, tmp_path, monkeypatch, capsys
):
    computed = []
    original = module.pooled_features

    def counted(backbone, images):
        computed.append(1)
        if len(computed) == 70:
            raise KeyboardInterrupt
        return original(backbone, images)

    monkeypatch.setattr(module, "pooled_features", counted)
    monkeypatch.setenv("VOC_ROOT", str(data / "VOCdevkit"))
    output = tmp_path / "head.safetensors"
    words = "fit-head --config resnet50_voc07 --set backbone.model=torchvision/resnet18 --limit 80"
    words += f" --set fit_head.split=test --set fit_head.held_out=0.5 --output {output}"
    monkeypatch.setattr("sys.argv", ["rcam-bench", *words.split()])
    for code in (130, 0, 0):
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == code
    # The first part of 64 survived the stop; the second start computed the other 16, the third none.
    assert len(computed) == 70 + 16
    said = capsys.readouterr().err
    achieved, prior = (float(said.split(word)[1].split("%")[0]) for word in ("held-out mAP ", "(prior "))
    assert achieved > 2 * prior


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("resnet50_voc07 --set fit_head.split=tst", "tst.txt does not exist; set fit_head.split; did you mean 'test'?"),
        ("resnet50_coco14", "instances_train2014.json does not exist; set fit_head.split to the instances file"),
        ("resnet50_voc07 --set fit_head.split=null --set dataset.split=tst", "set dataset.split; did you mean 'test'?"),
    ],
)
def test_a_split_that_is_not_there_is_named_by_its_key(data, monkeypatch, capsys, config, words):
    monkeypatch.setenv("VOC_ROOT", str(data / "VOCdevkit"))
    monkeypatch.setenv("COCO_ROOT", str(data / "coco"))
    monkeypatch.setattr("sys.argv", ["rcam-bench", "fit-head", *config.split()])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.endswith(f"{words}\n") and said.count("\n") == 1


def test_a_subset_is_one_of_the_judged_split_alone(data):
    dataset = {"name": "voc", "root": str(data / "VOCdevkit"), "subset": {"random": 9}}
    base = {"backbone": {"model": "torchvision/resnet18"}, "dataset": dataset, "methods": ["cam"]}
    assert len(module._training_set(parse_config(base, "c.yaml")).samples) == 9
    other = module._training_set(parse_config(base | {"fit_head": {"split": "test"}}, "c.yaml"))
    assert len(other.samples) == 225


def test_features_of_another_precision_are_not_read_again(tiny, pictures):
    backbones = [tiny, replace(tiny, arithmetic=Arithmetic("tf32")), replace(tiny, arithmetic=Arithmetic("bfloat16"))]
    dataset = load_dataset(DatasetConfig.model_validate({"name": "folder", "root": str(pictures)}), None, 0)
    assert len({module._key(backbone, dataset, None) for backbone in backbones}) == 3


def test_features_of_pictures_that_changed_are_not_read_again(tiny, pictures):
    dataset = load_dataset(DatasetConfig.model_validate({"name": "folder", "root": str(pictures)}), None, 0)
    before = module._key(tiny, dataset, None)
    assert module._key(tiny, dataset, None) == before
    picture = dataset.samples[0].path
    picture.write_bytes(picture.read_bytes() + b"more")
    assert module._key(tiny, dataset, None) != before


def test_a_head_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "head").mkdir()
    with pytest.raises(UserError, match=r"head cannot be written .*; give --output another file"):
        save_linear_head(tmp_path / "head", torch.zeros(2, 3), torch.zeros(2), {})


def test_a_fit_that_runs_off_is_told():
    settings = FitHeadConfig(weight_decay=10000)
    with pytest.raises(UserError, match=r"fit-head: the fit ran off to infinity; lower fit_head.learning_rate"):
        fit_linear(torch.randn(40, 3), torch.randint(0, 2, (40, 2)).float(), settings, 0, True)
