"""Chunks fit the memory, are halved where they do not, and change no value."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.arithmetic import Arithmetic
from reciprocam_bench.backbones.chunking import Chunking
from reciprocam_bench.explainers.chunks import in_chunks
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.registry import make_method
from reciprocam_bench.metrics.evidence import Evidence
from reciprocam_bench.protocols.protocol import load_protocol

# Every method that runs masked copies, and every one that runs its images in chunks.
OPTIONS: dict[str, dict] = {
    "ablationcam": {"path": "batched-head"},
    "blackboxreciprocam": {"patch": 8, "stride": 4},
    "fasterscorecam": {"channels": 4},
    "fullgrad": {},
    "iscam": {"samples": 2},
    "opticam": {"iterations": 2},
    "reciprocam": {"path": "batched-head"},
    "rise": {"samples": 20},
    "scorecam": {},
    "sscam": {"samples": 2},
}


class Small(nn.Module):
    """A half of a network on a device that holds ``most`` inputs at once."""

    def __init__(self, inner: nn.Module, most: int) -> None:
        super().__init__()
        self.inner, self.most = inner, most
        self.seen: list[int] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.append(len(inputs))
        if len(inputs) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner(inputs)


def small(backbone: rb.Backbone, most: int, budget: int | None = None) -> rb.Backbone:
    """The backbone on a small device, which has not run out of memory yet."""
    features, head = Small(backbone.features, most), Small(backbone.head, most)
    return replace(backbone, features=features, head=head, memory_budget=budget, chunking=Chunking())


def fixed(backbone: rb.Backbone) -> rb.Backbone:
    """The backbone where each new number of inputs costs a compilation."""
    return replace(backbone, arithmetic=Arithmetic(fixed_shapes=True))


def of_size(backbone: rb.Backbone, size: int) -> rb.Backbone:
    """The backbone with chunks of that many rows of 100 bytes."""
    return replace(backbone, memory_budget=size * 100, chunking=Chunking())


def widths(backbone: rb.Backbone, count: int, **options: bool) -> list[int]:
    seen = []

    def compute(rows: Tensor) -> Tensor:
        seen.append(len(rows))
        return rows

    values = torch.cat(list(in_chunks(backbone, count, compute, bytes_each=100, **options)))
    assert values.tolist() == list(range(count))
    return seen


@pytest.mark.parametrize(
    "count, size, plain, padded",
    [
        (10, 4, [4, 3, 3], [4, 4, 4]),
        (12, 4, [4, 4, 4], [4, 4, 4]),
        (3, 64, [3], [16]),
        (98, 64, [49, 49], [64, 64]),
        (64, 48, [32, 32], [32, 32]),
        (1, 1, [1], [1]),
    ],
)
def test_chunks_are_equal_and_padded_where_shapes_are_fixed(
    tiny: rb.Backbone, count: int, size: int, plain: list[int], padded: list[int]
) -> None:
    backbone = of_size(tiny, size)
    assert widths(backbone, count) == plain
    assert widths(fixed(backbone), count) == padded
    assert widths(fixed(backbone), count, pad=False) == plain


def test_batches_with_nearly_as_many_copies_share_a_shape(tiny: rb.Backbone) -> None:
    backbone = fixed(of_size(tiny, 64))
    assert {width for count in range(1985, 2049) for width in widths(backbone, count)} == {64}


def test_progress_is_the_share_that_is_done(tiny: rb.Backbone) -> None:
    told: list[float] = []
    list(in_chunks(fixed(of_size(tiny, 4)), 10, lambda rows: rows, bytes_each=100, progress=told.append))
    assert told == [0.4, 0.8, 1.0]


def test_out_of_memory_halves_chunks_for_good_and_says_so(tiny: rb.Backbone, capsys) -> None:
    backbone = of_size(tiny, 64)
    tried = []

    def compute(rows: Tensor) -> Tensor:
        tried.append(len(rows))
        if len(rows) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * rows

    values = torch.cat(list(in_chunks(backbone, 100, compute, bytes_each=100)))
    assert values.tolist() == list(range(0, 200, 2))
    assert tried[:2] == [50, 25] and max(tried[2:]) <= 12
    notes = capsys.readouterr().err.splitlines()
    assert [note[:46] for note in notes] == [
        "note: out of memory with 50 inputs at once; ch",
        "note: out of memory with 25 inputs at once; ch",
    ]
    # Copies and other cuts of the network have learnt it too; another call does not fail again.
    for other in (replace(backbone, name="other"), copy.deepcopy(backbone)):
        assert other.chunk_size(100) == 16
    tried.clear()
    list(in_chunks(backbone, 100, compute, bytes_each=100))
    assert max(tried) <= 16
    assert not capsys.readouterr().err


def test_other_cuts_of_the_network_learn_it(tiny: rb.Backbone) -> None:
    network = rb.split_backbone(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        torch.randn(2, 3, 16, 16),
        layer="2",
    )
    assert network.at("0").chunking is network.chunking
    assert network.chunking is not tiny.chunking


def test_a_single_row_that_does_not_fit_is_an_error(tiny: rb.Backbone) -> None:
    def compute(rows: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        list(in_chunks(of_size(tiny, 8), 5, compute, bytes_each=100))


@pytest.mark.parametrize("name", OPTIONS)
def test_a_method_that_runs_out_of_memory_goes_on_with_the_same_map(
    tiny: rb.Backbone, images: Tensor, name: str
) -> None:
    classes = torch.tensor([0, 3, 4])
    method = make_method(name, OPTIONS[name], name, tiny)
    expected = method(forward_pass(tiny, images, classes))
    backbone = small(tiny, 2)
    fp = replace(forward_pass(tiny, images, classes), backbone=backbone)
    torch.testing.assert_close(method(fp), expected)
    assert backbone.chunking.divisor > 1
    seen = backbone.features.seen + backbone.head.seen
    assert max(seen) > 2 and seen[-1] <= 2


@pytest.mark.parametrize("name", OPTIONS)
def test_a_method_gives_the_same_map_in_padded_chunks(tiny: rb.Backbone, images: Tensor, name: str) -> None:
    method = make_method(name, OPTIONS[name], name, tiny)
    expected = method(forward_pass(tiny, images))
    padded = fixed(replace(tiny, memory_budget=7 * tiny.bytes_per_image))
    torch.testing.assert_close(method(forward_pass(padded, images)), expected)


def test_metrics_that_ask_go_on_too(tiny: rb.Backbone, images: Tensor) -> None:
    protocol, maps = load_protocol("poppi-2021"), torch.rand(3, 4, 4)
    fp = forward_pass(tiny, images)
    changed, rows = torch.cat([images, images * 0.5, images * 0.1]), torch.arange(3).repeat(3)
    expected = Evidence(fp, maps, protocol).ask(changed, rows)
    evidence = Evidence(replace(fp, backbone=small(tiny, 2)), maps, protocol)
    torch.testing.assert_close(evidence.ask(changed, rows), expected)
    assert Evidence(fp, maps, protocol).ask(changed[:0], rows[:0]).shape == (0,)


def test_a_row_that_does_not_fit_alone_reaches_the_caller(tiny: rb.Backbone, images: Tensor) -> None:
    fp = replace(forward_pass(tiny, images), backbone=small(tiny, 0))
    with pytest.raises(torch.OutOfMemoryError):
        make_method("scorecam", {}, "scorecam", tiny)(fp)
