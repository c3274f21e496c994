"""Time every method on the same images, in turn, round by round."""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.errors import in_words
from reciprocam_bench.explainers.forward_pass import ForwardPass, forward_pass
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.runfolder.schema import FORWARD
from reciprocam_bench.timing.clock import Clock, MeasuredCall, measured
from reciprocam_bench.timing.peak import peak_memory

# A scope of a method, or the network alone: (title, scope).
Timed = tuple[str, str]


class MethodFailed(Exception):
    """A method failed while it was timed: its title, and why."""

    def __init__(self, title: str, reason: str) -> None:
        super().__init__(title, reason)
        self.title, self.reason = title, reason


@dataclass(frozen=True)
class Call:
    """One measured call and where it belongs: a row of ``timing_rounds.csv``, milliseconds."""

    method: str
    scope: str
    batch_size: int
    process: int
    block: int
    round: int
    wall_ms: float
    device_ms: float | None


def scopes(method: Method) -> tuple[str, ...]:
    """What is timed of a method: ``end-to-end``, and ``explainer`` unless its call runs a forward pass of its own."""
    return ("end-to-end",) if method.spec.own_forward else ("end-to-end", "explainer")


def one_round(
    backbone: Backbone,
    methods: list[Method],
    images: Tensor,
    first: int,
    on_done: Callable[[Method | None], None] = lambda method: None,
    clock: Clock = time.perf_counter,
) -> Iterator[tuple[Timed, MeasuredCall]]:
    """Run the network alone and every method once, beginning with number ``first``.

    Scope ``explainer`` begins with the shared forward pass done; ``end-to-end`` is that forward pass and the call, or
    for a method that runs its own the call alone. ``on_done`` is called after each, outside the measured time. Raises
    `MethodFailed`.
    """
    turns = [None, *methods]
    for i in range(len(turns)):
        method = turns[(i + first) % len(turns)]
        if method is None:
            yield (FORWARD, FORWARD), measured(partial(_network, backbone, images), backbone.device, clock)
        else:
            made: list[ForwardPass] = []
            forward = measured(partial(_forward_into, made, backbone, images), backbone.device, clock)
            try:
                explain = measured(partial(method, made[0]), backbone.device, clock)
            except Exception as error:  # as in `peaks`, though it was well once
                raise MethodFailed(method.title, in_words(error)) from None
            each = {"explainer": explain, "end-to-end": explain if method.spec.own_forward else forward + explain}
            yield from (((method.title, scope), each[scope]) for scope in scopes(method))
        on_done(method)


def fresh_copy(backbone: Backbone, images: Tensor) -> tuple[Backbone, Tensor]:
    """The same network and images elsewhere in memory, ready to run.

    How fast a call is depends on where its tensors lie, which a process chooses once: rounds on one copy would agree
    with one another more than with those of another process. A module of the user's that cannot be copied, or whose
    copy answers otherwise, is timed where it lies.
    """
    moved = images.clone()
    with torch.no_grad():
        try:
            copied = copy.deepcopy(backbone)
            same = torch.equal(copied(moved), backbone(images))
        except Exception:  # a user's module may refuse in any way
            return backbone, moved
    return (copied if same else backbone), moved


def peaks(
    backbone: Backbone,
    methods: list[Method],
    images: Tensor,
    on_done: Callable[[Method | None], None] = lambda method: None,
) -> tuple[dict[Timed, int], dict[str, str]]:
    """Peak memory in bytes by (method title, scope), from one call of each, and why a method failed, by title.

    The call also warms the method up.
    """
    found = {(FORWARD, FORWARD): peak_memory(partial(_network, backbone, images), backbone.device)}
    failed: dict[str, str] = {}
    made: list[ForwardPass] = []
    for method in methods:
        made.clear()
        forward = peak_memory(partial(_forward_into, made, backbone, images), backbone.device)
        try:
            method.spec.implementation(backbone, method.options)  # which the table names
            explain = peak_memory(partial(method, made[0]), backbone.device)
        except Exception as error:  # a plug-in may fail in any way; the judged rows and the other times are kept
            failed[method.title] = in_words(error)
            on_done(method)
            continue
        held = sum(t.numel() * t.element_size() for t in (made[0].features, made[0].logits))
        each = {
            "explainer": explain,
            "end-to-end": explain if method.spec.own_forward else max(forward, held + explain),
        }
        found |= {(method.title, scope): each[scope] for scope in scopes(method)}
        on_done(method)
    return found, failed


def _network(backbone: Backbone, images: Tensor) -> None:
    with torch.no_grad():
        backbone(images)


def _forward_into(made: list[ForwardPass], backbone: Backbone, images: Tensor) -> None:
    made.append(forward_pass(backbone, images))
