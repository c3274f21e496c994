"""Normalising, resizing and masking, against hand-made maps and PIL."""

import csv
from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image
from torch import tensor

from reciprocam_bench.errors import UserError
from reciprocam_bench.metrics.measures.adcc import adcc
from reciprocam_bench.protocols.maps import map_status, masked, normalise, upsample
from reciprocam_bench.protocols.protocol import load_protocol, protocol_names
from reciprocam_bench.protocols.published import published


def test_normalise_reaches_zero_and_one():
    torch.testing.assert_close(normalise(tensor([[[2.0, 4.0], [3.0, 2.0]]])), tensor([[[0.0, 1.0], [0.5, 0.0]]]))


@pytest.mark.parametrize(
    ("value", "status"), [(3.0, "constant"), (float("nan"), "nan"), (float("inf"), "nan"), (-float("inf"), "nan")]
)
def test_maps_without_contrast_become_zero_and_say_so(value, status):
    maps = torch.full((1, 2, 2), value)
    assert normalise(maps).eq(0).all()
    assert map_status(maps) == [status]


def test_one_nan_spoils_only_its_own_map():
    maps = tensor([[[0.0, 1.0]], [[float("nan"), 1.0]]])
    assert map_status(maps) == ["ok", "nan"]
    assert normalise(maps).tolist() == [[[0.0, 1.0]], [[0.0, 0.0]]]


def test_recipro_upsamples_as_pil_does_and_does_not_clamp():
    maps = torch.rand(1, 7, 7, generator=torch.Generator().manual_seed(0)).round()
    ours = upsample(maps, load_protocol("recipro-2024").upsample, (224, 224))[0].numpy()
    pil = np.asarray(Image.fromarray(maps[0].numpy(), mode="F").resize((224, 224), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(ours, pil, atol=1e-5)
    assert ours.min() < 0 and ours.max() > 1


def test_poppi_upsamples_bilinearly_within_bounds():
    maps = torch.rand(1, 7, 7)
    ours = upsample(maps, load_protocol("poppi-2021").upsample, (224, 224))
    expected = torch.nn.functional.interpolate(maps[:, None], (224, 224), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(ours, expected)


def test_the_mask_multiplies_the_normalised_image():
    images, saliency = torch.randn(2, 3, 4, 4), torch.rand(2, 4, 4)
    seen = masked(images, saliency, torch.ones(3), torch.ones(3), raw=False)
    torch.testing.assert_close(seen[1, 2], images[1, 2] * saliency[1])


def test_a_raw_mask_makes_black_black():
    mean, std = tensor([0.5, 0.4, 0.3]), tensor([0.2, 0.2, 0.2])
    seen = masked(torch.randn(1, 3, 2, 2), torch.zeros(1, 2, 2), mean, std, raw=True)
    torch.testing.assert_close(seen[0, :, 0, 0], -mean / std)


def test_unknown_protocol_is_named():
    with pytest.raises(UserError, match="unknown protocol 'poppi'; did you mean 'poppi-2021'"):
        load_protocol("poppi")


def test_every_protocol_file_is_valid():
    assert protocol_names() == ["poppi-2021", "recipro-2024", "standard", "torchray-2019"]
    assert all(load_protocol(name).name == name for name in protocol_names())


def test_published_rows_agree_with_adcc_of_their_own_means():
    text = (files("reciprocam_bench.protocols") / "published.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    rows = [row for row in rows if row["adcc"]]
    assert len(rows) == 30 + 6
    for row in rows:
        parts = [tensor(float(row[k]) / 100, dtype=torch.float64) for k in ("average_drop", "coherency", "complexity")]
        assert 100 * adcc(*parts).item() == pytest.approx(float(row["adcc"]), abs=0.05)


def test_published_values_say_whose_they_are():
    table = published("recipro-2024", "imagenet")
    assert table["torchvision/resnet50", "reciprocam"].values["adcc"] == 80.84
    assert "measured" in table["torchvision/resnet50", "reciprocam"].provenance
    assert "copied" in table["torchvision/resnet50", "scorecam"].provenance
    assert ("torchvision/resnet50", "reciprocam") not in published("poppi-2021", "imagenet")
    assert not published("poppi-2021", "samples")
