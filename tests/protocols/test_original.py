"""Maps on the original image's pixels."""

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms import functional as T

from reciprocam_bench.protocols.maps import on_original
from reciprocam_bench.protocols.protocol import Geometry

WHOLE = Geometry(resize="shorter-side", size=224, crop=None, interpolation="bilinear")
CROP = Geometry(resize="shorter-side", size=256, crop=224, interpolation="bilinear")
SQUASH = Geometry(resize="squash", size=256, crop=224, interpolation="bilinear")
EXACT = Geometry(resize="shorter-side", size=224, crop=224, interpolation="bilinear")


@pytest.mark.parametrize("size", [(500, 375), (333, 500), (100, 90), (227, 227), (225, 224)])
@pytest.mark.parametrize("geometry", [WHOLE, CROP, SQUASH])
def test_sizes_after_the_resize_are_torchvisions(size, geometry):
    wanted = [geometry.size] * 2 if geometry.resize == "squash" else geometry.size
    assert geometry.resized(*size) == T.resize(Image.new("RGB", size), wanted).size


def test_without_a_crop_it_is_a_bilinear_resize():
    maps = torch.rand(2, 7, 10)
    expected = F.interpolate(maps[:, None], (375, 500), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(on_original(maps, WHOLE, 500, 375), expected, atol=1e-5, rtol=0)


def test_what_the_crop_cut_off_is_zero_and_the_rest_lies_where_it_was_seen():
    # 448x224 is not resized; the crop keeps columns 112 to 335.
    found = on_original(torch.ones(1, 7, 7), EXACT, 448, 224)[0]
    assert found[:, :112].eq(0).all() and found[:, 336:].eq(0).all()
    assert torch.allclose(found[:, 112:336], torch.ones(224, 224), atol=1e-6)


def test_a_peak_comes_back_to_the_pixels_of_its_cell():
    # 512x512 to 256, crop 224: a cell of 32 px is 64 px of the original, beginning at 32.
    maps = torch.zeros(1, 7, 7)
    maps[0, 2, 5] = 1
    found = on_original(maps, CROP, 512, 512)[0]
    y, x = divmod(int(found.argmax()), 512)
    assert 32 + 2 * 64 + 31 <= y <= 32 + 2 * 64 + 32 and 32 + 5 * 64 + 31 <= x <= 32 + 5 * 64 + 32


def test_a_padded_image_sees_only_the_middle_of_the_map():
    # 100x224 is padded to 224 on both sides (62 px each); the image holds the map's middle columns.
    maps = torch.arange(224.0).expand(1, 224, 224) / 223
    found = on_original(maps, Geometry(resize="squash", size=100, crop=224, interpolation="bilinear"), 100, 100)[0]
    torch.testing.assert_close(found[50], maps[0, 0, 62:162], atol=1e-5, rtol=0)
