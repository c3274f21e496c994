"""The backbone that is lent to other libraries: their own modules over its weights."""

import dataclasses
import gc

import pytest
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.peers.network import whole_network

pytestmark = pytest.mark.slow


def test_the_copy_shares_the_weights_and_is_made_once(tiny):
    with whole_network(tiny) as first:
        pass
    with whole_network(tiny) as second:
        assert second is first
        theirs = {p.data_ptr() for p in second.parameters()}
    assert theirs == {p.data_ptr() for half in (tiny.features, tiny.head) for p in half.parameters()}
    assert not {id(m) for m in first.modules()} & {id(m) for m in (*tiny.features.modules(), *tiny.head.modules())}


def test_a_copy_that_comes_back_changed_is_not_lent_again(tiny):
    with whole_network(tiny) as first:
        first.features.register_forward_hook(lambda *_: None)
    with whole_network(tiny) as second:
        assert second is not first


@pytest.mark.parametrize("apart", [False, True])
def test_the_whole_network_gives_the_backbones_logits(apart):
    backbone = rb.load_backbone("torchvision/resnet18", weights="none")
    images = torch.randn(2, 3, 64, 64)
    with whole_network(backbone, apart=apart) as network:
        torch.testing.assert_close(network(images), backbone(images), rtol=1e-4, atol=1e-4)
        relus = [m for m in network.modules() if isinstance(m, nn.ReLU)]
        assert len(relus) == (17 if apart else 9)


def test_another_head_gets_a_network_of_its_own(tiny):
    other = dataclasses.replace(tiny, head=nn.Sequential(nn.Flatten(), nn.Linear(128, 5)))
    with whole_network(tiny) as one, whole_network(other) as two:
        assert one(torch.ones(1, 3, 16, 16)).tolist() != two(torch.ones(1, 3, 16, 16)).tolist()


def test_other_features_get_a_network_of_their_own_even_where_the_first_are_gone(tiny, only_what_is_new):
    image = torch.ones(1, 3, 16, 16)
    for n in range(20):  # an id that was freed is given again
        features = nn.Conv2d(3, 8, 4, stride=4)
        other = dataclasses.replace(tiny, features=features)
        with whole_network(other) as network:
            torch.testing.assert_close(network(image), tiny.head(features(image)), msg=f"network {n} is another's")
        del features, other, network
        gc.collect()
