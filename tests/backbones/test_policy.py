"""Which layer ``auto`` takes, which can be named, and which are stages, on networks that are only described."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.layout import Layout
from reciprocam_bench.backbones.policy import NotACut, last_layer, named_layer, stage_layers


@dataclass(eq=False)
class Step:
    name: str
    side: int = 4  # of its map; 0 for none
    cut: bool = True
    trained: bool = True
    read: bool = True
    told: bool = True  # whether its name leads to it


class Described:
    """A `policy.Network` whose steps say themselves what they are."""

    shows_most = True

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)

    def find(self, layer):
        step = next((s for s in self.steps if s.name == layer), None)
        if step is None:
            raise rb.UserError(f"layer '{layer}' is not in the network")
        return step if step.side and step.told else None

    def name(self, step):
        return step.name

    def layout(self, step):
        return Layout("channels-first", (step.side, step.side))

    def may_be_cut(self, step):
        return step.side > 0

    def is_cut(self, step):
        return step.cut

    def has_trained_behind(self, step):
        return any(s.trained for s in self.steps[self.steps.index(step) + 1 :])

    def layers_around(self, step):
        trained = [s.trained and s.side > 0 for s in self.steps]
        place = self.steps.index(step) + 1
        return sum(trained[:place]), sum(trained[place:])

    def output(self, step):
        return torch.ones(1, 2, step.side, step.side)

    def head(self, step):
        return nn.Flatten() if step.read else lambda maps: maps[:, :, 0, 0]


FC = Step("fc", side=0)


@pytest.mark.parametrize(
    ("last", "taken"),
    [(Step("b"), "b"), (Step("b", cut=False), "a"), (Step("b", read=False), "a"), (Step("b", side=0), "a")],
    ids=["a-cut", "no-cut", "read-at-one-position", "no-map"],
)
def test_the_last_map_that_all_of_the_logits_come_from_is_taken(last, taken):
    assert last_layer(Described(Step("a0"), Step("a"), last, FC)).name == taken


def test_a_map_without_trained_layers_behind_is_left_to_the_head():
    assert last_layer(Described(Step("a"), Step("scores"), Step("softmax", trained=False))).name == "a"


def test_a_map_that_shows_little_of_the_network_is_refused():
    network = Described(Step("a"), Step("b", cut=False), Step("c", cut=False), FC)
    words = "no layer behind 'a' gives a map .* has only 1 of the network's 3 trained spatial layers before it"
    with pytest.raises(NotACut, match=words):
        last_layer(network)


def test_a_network_without_a_cut_is_refused():
    with pytest.raises(NotACut, match="no layer gives a spatial map that all later layers depend on alone"):
        last_layer(Described(Step("a", cut=False), FC))


def test_a_named_layer_need_not_be_one_that_auto_could_take():
    network = Described(Step("a"), Step("b", read=False), Step("c", cut=False), FC)
    assert named_layer(network, "b").name == "b"
    for layer, words in (("c", "layer 'c' is no cut"), ("fc", "'fc' gives no spatial map"), ("d", "'d' is not in")):
        with pytest.raises(rb.UserError, match=words):
            named_layer(network, layer)


def test_stages_are_the_last_eligible_layers_of_every_larger_map():
    network = Described(
        Step("stem", 16),
        Step("one", 8),
        Step("one again", 8),
        Step("inside", 8, cut=False),
        Step("unread", 8, read=False),
        Step("nameless", 8, told=False),
        Step("two", 4),
        Step("smaller", 2),
        Step("three", 4),
        FC,
    )
    assert stage_layers(network, "three") == ("stem", "one again", "three")
    assert stage_layers(network, "one") == ("stem", "one")
    assert stage_layers(network, "unread") == ("stem", "unread")
