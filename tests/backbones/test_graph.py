"""Where a traced network can be cut, and what its layers are called."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.graph import TracedNetwork
from reciprocam_bench.backbones.policy import NotACut, last_layer, named_layer

pytestmark = pytest.mark.slow

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def net(forward, **layers: nn.Module) -> nn.Module:
    """A module of ``layers`` that runs ``forward(self, x)``."""
    module = type("Net", (nn.Module,), {"forward": forward})()
    for name, layer in layers.items():
        setattr(module, name, layer)
    return module.eval()


def step_at(network: TracedNetwork, layer: str):
    return last_layer(network) if layer == "auto" else named_layer(network, layer)


def found(module: nn.Module, layer: str = "auto") -> str:
    network = TracedNetwork(module, IMAGES)
    return network.name(step_at(network, layer))


def assert_cut_keeps_the_function(module: nn.Module, layer: str = "auto") -> None:
    network = TracedNetwork(module, IMAGES)
    features, head, *_ = network.halves(step_at(network, layer))
    with torch.no_grad():
        torch.testing.assert_close(head(features(IMAGES)), module(IMAGES), rtol=0, atol=0)


@pytest.mark.parametrize(
    "pool",
    [nn.AdaptiveAvgPool2d(2), nn.AdaptiveMaxPool2d(2), nn.Identity(), nn.Dropout(), nn.Dropout2d()],
    ids=lambda pool: type(pool).__name__,
)
def test_auto_cuts_in_front_of_layers_that_only_pass_the_map_on(pool):
    module = net(
        lambda self, x: self.fc(self.pool(self.features(x)).mean((2, 3))),
        features=conv(3, 4), pool=pool, fc=nn.Linear(4, 5),
    )  # fmt: skip
    assert found(module) == "features"
    assert_cut_keeps_the_function(module)


@pytest.mark.parametrize("pool", [F.adaptive_avg_pool2d, F.adaptive_max_pool2d], ids=lambda pool: pool.__name__)
def test_auto_cuts_in_front_of_functional_pools(pool):
    module = net(lambda self, x: self.fc(pool(self.body(x), 2).flatten(1)), body=conv(3, 4), fc=nn.Linear(16, 5))
    assert found(module) == "body"


def test_auto_keeps_a_max_pool_that_belongs_to_the_features():
    module = net(
        lambda self, x: self.fc(self.features(x).mean((2, 3))),
        features=nn.Sequential(conv(3, 4), nn.ReLU(), nn.MaxPool2d(2)), fc=nn.Linear(4, 5),
    )  # fmt: skip
    network = TracedNetwork(module, IMAGES)
    assert step_at(network, "auto").meta["tensor_meta"].shape == (2, 4, 4, 4)
    assert found(module) == "features"


def test_auto_leaves_trained_layers_in_the_head():
    module = net(lambda self, x: self.score(self.body(x)).mean((2, 3)), body=conv(3, 4), score=nn.Conv2d(4, 5, 1))
    assert found(module) == "body"


def test_auto_counts_a_bare_parameter_as_trained():
    module = net(lambda self, x: self.body(x).mean((2, 3)) @ self.weight, body=conv(3, 4))
    module.weight = nn.Parameter(torch.randn(4, 5))
    assert found(module) == "body"
    assert_cut_keeps_the_function(module)


def test_auto_takes_the_sum_of_a_residual_block_not_one_of_its_branches():
    module = net(
        lambda self, x: self.fc(self.block(self.stem(x)).mean((2, 3))),
        stem=conv(3, 4),
        block=net(lambda self, x: self.second(self.first(x).relu()) + x, first=conv(4, 4), second=conv(4, 4)),
        fc=nn.Linear(4, 5),
    )
    assert found(module) == "block"
    assert_cut_keeps_the_function(module)
    assert_cut_keeps_the_function(module, "stem")
    with pytest.raises(NotACut, match=r"layer 'block\.second' is no cut"):
        found(module, "block.second")


def test_auto_takes_the_joint_map_of_two_branches():
    module = net(
        lambda self, x: self.fc(torch.cat([self.left(x), self.right(x)], 1).mean((2, 3))),
        left=conv(3, 4), right=conv(3, 2), fc=nn.Linear(6, 5),
    )  # fmt: skip
    assert found(module) == "cat"
    assert_cut_keeps_the_function(module)


def test_no_cut_where_the_head_looks_at_the_image_again():
    module = net(
        lambda self, x: self.fc(self.body(x).mean((2, 3)) + x.mean((1, 2, 3))[:, None]),
        body=conv(3, 4), fc=nn.Linear(4, 5),
    )  # fmt: skip
    with pytest.raises(NotACut, match="no layer gives a spatial map"):
        found(module)
    with pytest.raises(NotACut, match="layer 'body' is no cut"):
        found(module, "body")


def test_a_named_layer_means_the_end_of_it():
    module = net(
        lambda self, x: self.fc(self.stage(x).mean((2, 3))),
        stage=nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 4), nn.Tanh()), fc=nn.Linear(4, 5),
    )  # fmt: skip
    network = TracedNetwork(module, IMAGES)
    assert network.trace.paths[step_at(network, "stage")] == "stage.3"
    assert network.trace.paths[step_at(network, "stage.1")] == "stage.1"
    features = network.features(step_at(network, "stage.1"))
    with torch.no_grad():
        torch.testing.assert_close(features(IMAGES), module.stage[:2](IMAGES), rtol=0, atol=0)


def test_a_layer_whose_name_begins_like_another_is_not_mistaken_for_it():
    module = net(
        lambda self, x: self.fc(self.layer10(self.layer1(x)).mean((2, 3))),
        layer1=conv(3, 4), layer10=conv(4, 6), fc=nn.Linear(6, 5),
    )  # fmt: skip
    network = TracedNetwork(module, IMAGES)
    assert step_at(network, "layer1").meta["tensor_meta"].shape[1] == 4


def test_a_module_that_runs_twice_is_told_apart_by_its_path():
    module = net(
        lambda self, x: self.fc(self.act(self.second(self.act(self.first(x)))).mean((2, 3))),
        first=conv(3, 4), second=conv(4, 6), act=nn.ReLU(), fc=nn.Linear(6, 5),
    )  # fmt: skip
    network = TracedNetwork(module, IMAGES)
    shapes = {path: tuple(node.meta["tensor_meta"].shape[1:2]) for node, path in network.trace.paths.items()}
    assert (shapes["act"], shapes["act_1"]) == ((4,), (6,))
    assert network.trace.paths[step_at(network, "auto")] == "act_1"


@pytest.mark.parametrize(("wrong", "right"), [("stem.convolution", "stem.conv"), ("stm", "stem"), ("boddy", "body")])
def test_an_unknown_layer_is_answered_with_the_nearest_name(wrong, right):
    module = net(
        lambda self, x: self.fc(self.body(self.stem(x)).mean((2, 3))),
        stem=net(lambda self, x: self.conv(x), conv=conv(3, 4)), body=conv(4, 4), fc=nn.Linear(4, 5),
    )  # fmt: skip
    with pytest.raises(rb.UserError) as error:
        found(module, wrong)
    assert str(error.value) == f"layer '{wrong}' is not in the network; did you mean '{right}'?"


def test_both_halves_are_made_of_the_networks_own_weights():
    module = net(lambda self, x: self.fc(self.body(x).mean((2, 3))), body=conv(3, 4), fc=nn.Linear(4, 5))
    network = TracedNetwork(module, IMAGES)
    features, head, *_ = network.halves(step_at(network, "auto"))
    assert [id(p) for p in features.parameters()] == [id(p) for p in module.body.parameters()]
    assert [id(p) for p in head.parameters()] == [id(p) for p in module.fc.parameters()]
