"""Maps are found in whatever layout a layer keeps them, and taken back to it."""

import pytest
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.layout import FromMap, Hint, Layout, OnACopy, ToMap, layout_of

FIRST, LAST, TOKENS = "channels-first", "channels-last", "tokens"


@pytest.mark.parametrize(
    ("shape", "image", "kind", "grid", "prefix"),
    [
        ((2, 512, 7, 7), (224, 224), FIRST, (7, 7), 0),
        ((2, 7, 7, 512), (224, 224), LAST, (7, 7), 0),
        ((2, 8, 7, 7), (224, 224), FIRST, (7, 7), 0),
        ((2, 7, 7, 8), (224, 224), LAST, (7, 7), 0),
        ((2, 7, 7, 7), (224, 224), FIRST, (7, 7), 0),
        ((2, 64, 4, 11), (130, 350), FIRST, (4, 11), 0),
        ((2, 4, 11, 64), (130, 350), LAST, (4, 11), 0),
        ((2, 196, 192), (224, 224), TOKENS, (14, 14), 0),
        ((2, 197, 192), (224, 224), TOKENS, (14, 14), 1),
        ((2, 198, 192), (224, 224), TOKENS, (14, 14), 2),
        ((2, 201, 192), (224, 224), TOKENS, (14, 14), 5),
        ((2, 12, 192), (96, 96), TOKENS, (3, 3), 3),
        ((2, 98, 192), (224, 112), TOKENS, (14, 7), 0),
        ((2, 99, 192), (112, 224), TOKENS, (7, 14), 1),
        ((2, 7 * 5 + 1, 64), (112, 80), TOKENS, (7, 5), 1),
    ],
)
def test_the_layout_follows_from_the_shape_and_the_images(shape, image, kind, grid, prefix):
    assert layout_of(shape, (2, 3, *image)) == Layout(kind, grid, prefix)


@pytest.mark.parametrize(
    "shape",
    [(2, 1000), (), (2, 512, 1, 1), (8, 49, 96), (2, 64, 7, 14), (2, 1, 192), (2, 3, 14, 9, 14), (2, 200 + 20 * 14, 9)],
)
def test_what_is_no_map_has_no_layout(shape):
    assert layout_of(shape, (2, 3, 224, 224)) is None


def test_a_networks_own_word_decides_where_the_number_of_tokens_does_not():
    nine = (2, 9, 64)
    assert layout_of(nine, (2, 3, 32, 32)) == Layout(TOKENS, (3, 3), 0)
    assert layout_of(nine, (2, 3, 32, 32), Hint((2, 2), 5)) == Layout(TOKENS, (2, 2), 5)
    assert layout_of((2, 10, 64), (2, 3, 32, 32), Hint((2, 2), 5)) == Layout(TOKENS, (3, 3), 1)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (Layout(FIRST, (2, 3)), (4, 5, 2, 3)),
        (Layout(LAST, (2, 3)), (4, 2, 3, 5)),
        (Layout(TOKENS, (2, 3)), (4, 6, 5)),
        (Layout(TOKENS, (2, 3), 2), (4, 8, 5)),
    ],
    ids=["channels-first", "channels-last", "tokens", "tokens-behind-a-prefix"],
)
def test_a_map_goes_back_to_where_it_came_from(layout, shape):
    output = torch.randn(shape)
    maps = layout.to_map(output, (20, 30))
    assert maps.shape == (4, 5, 2, 3)
    torch.testing.assert_close(layout.from_map(maps, layout.prefix_of(output)), output, rtol=0, atol=0)


def test_tokens_keep_their_places():
    tokens = torch.arange(7.0).view(1, 7, 1)  # the class token is 0
    maps = Layout(TOKENS, (2, 3), 1).to_map(tokens, (20, 30))
    assert maps.tolist() == [[[[1, 2, 3], [4, 5, 6]]]]


def test_the_grid_follows_the_images_at_another_size():
    layout = Layout(TOKENS, (14, 14), 1)
    assert layout.to_map(torch.zeros(1, 73, 4), (192, 96)).shape == (1, 4, 12, 6)
    with pytest.raises(rb.UserError, match="71 tokens are no grid on images of 192x96 pixels"):
        layout.to_map(torch.zeros(1, 72, 4), (192, 96))


class Tokens(nn.Module):
    """Four patches behind one class token."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(images, (5, 1)).flatten(2).transpose(1, 2)


@pytest.fixture
def halves():
    layout = Layout(TOKENS, (2, 2), 1)
    return ToMap(Tokens(), layout), FromMap(nn.Flatten(), layout)


def test_the_context_crosses_the_cut_beside_the_map(halves):
    features, head = halves
    images = torch.randn(3, 3, 10, 10)
    maps, context = features(images)
    assert (maps.shape, context.shape) == ((3, 3, 2, 2), (3, 1, 3))
    torch.testing.assert_close(head(maps, context), Tokens()(images).flatten(1), rtol=0, atol=0)
    torch.testing.assert_close(OnACopy(head)(maps, context), head(maps, context), rtol=0, atol=0)


def test_features_without_prefix_tokens_are_the_map_alone():
    layout = Layout(TOKENS, (5, 1))
    maps = ToMap(Tokens(), layout)(torch.randn(3, 3, 10, 2))
    assert maps.shape == (3, 3, 5, 1)
    assert FromMap(nn.Flatten(), layout)(maps).shape == (3, 15)


def test_a_context_can_stand_for_all_maps_and_its_absence_is_named(halves):
    features, head = halves
    maps, context = features(torch.randn(1, 3, 10, 10))
    many = maps.expand(4, -1, -1, -1).clone()
    assert head(many, context).shape == (4, 15)
    with pytest.raises(rb.UserError, match=r"the head needs the 1 prefix tokens .* call head\(maps, context\)"):
        head(many)
