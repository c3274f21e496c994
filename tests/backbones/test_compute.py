"""A network in other arithmetic: what comes out, what is refused, and what copies of it share."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.arithmetic import Arithmetic, allow_tf32, without_tf32
from reciprocam_bench.backbones.compute import computing
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass


class Counted:
    """Stands for a compiled half."""

    def __init__(self, half: nn.Module) -> None:
        self.half, self.calls = half, 0

    def __call__(self, *inputs: Tensor) -> Tensor:
        self.calls += 1
        return self.half(*inputs)


def test_float32_and_tf32_leave_the_network_as_it_is(tiny: rb.Backbone, images: Tensor) -> None:
    for precision in ("float32", "tf32"):
        other = computing(tiny, precision, compile=False)
        assert other.arithmetic.precision == precision and other.arithmetic.is_plain
        assert torch.equal(other(images), tiny(images))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_close_and_gives_float32(tiny: rb.Backbone, images: Tensor, precision: str) -> None:
    half = computing(tiny, precision, compile=False)
    features, context = half.encode(images)
    assert context is None and features.dtype == half(images).dtype == torch.float32
    difference = (half(images) - tiny(images)).abs().max()
    assert 1e-6 < difference < 0.05
    assert torch.equal(half.exact(images), tiny(images))
    maps = rb.explain(half, images, method="gradcam")
    assert maps.dtype == torch.float32
    assert torch.allclose(maps, rb.explain(tiny, images, method="gradcam"), atol=0.05)


def test_a_network_that_overflows_is_refused(tiny: rb.Backbone) -> None:
    with torch.no_grad():
        tiny.head.get_parameter(next(name for name, p in tiny.head.named_parameters() if p.ndim == 2)).fill_(1e5)
    with pytest.raises(UserError, match=r"^precision float16: the logits of \S+ are NaN or infinite; use float32"):
        computing(tiny, "float16", compile=False)


def test_a_network_that_fails_in_half_precision_says_so(tiny: rb.Backbone) -> None:
    class Picky(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            raise NotImplementedError("no kernel\nfor Half")

    with pytest.raises(
        UserError, match=r"^precision bfloat16: .* does not run so on cpu: .*no kernel for Half; use fl"
    ):
        computing(replace(tiny, head=Picky()), "bfloat16", compile=False)


def test_a_network_with_hooks_is_not_compiled(tiny: rb.Backbone) -> None:
    with pytest.raises(UserError, match=r"^compile: .* could not be traced .*; set compile to false$"):
        computing(replace(tiny, split="replace"), "float32", compile=True)


def test_compiled_halves_are_called_and_others_are_not(
    tiny: rb.Backbone, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[nn.Module, Counted] = {}
    monkeypatch.setattr(
        "reciprocam_bench.backbones.compute.compiled", lambda half, device: made.setdefault(half, Counted(half))
    )
    compiled = computing(tiny, "float32", compile=True)
    assert set(made) == {tiny.features, tiny.head} and not compiled.arithmetic.is_plain
    before = {half: counted.calls for half, counted in made.items()}
    assert torch.equal(compiled(images), tiny(images))
    assert all(counted.calls == before[half] + 1 for half, counted in made.items())
    replace(compiled, head=copy.deepcopy(tiny.head))(images)
    assert made[tiny.head].calls == before[tiny.head] + 1
    compiled.uncompiled(images), compiled.exact(images)
    assert made[tiny.head].calls == before[tiny.head] + 1


@pytest.mark.slow
def test_the_compiler_gives_the_same_maps_and_copies_are_not_compiled_again(tiny: rb.Backbone, images: Tensor) -> None:
    compiled = computing(tiny, "float32", compile=True, image_size=16)
    assert torch.allclose(compiled(images), tiny(images), atol=1e-5)
    for method in ("gradcam", "scorecam"):  # with gradients, and in chunks
        theirs = rb.explain(compiled, images, method=method)
        assert torch.allclose(theirs, rb.explain(tiny, images, method=method), atol=1e-5), method
    counters = torch._dynamo.utils.counters["stats"]
    frames = counters["unique_graphs"]
    assert frames
    twin = copy.deepcopy(compiled)
    assert torch.allclose(twin(images), tiny(images), atol=1e-5)
    assert counters["unique_graphs"] == frames


WORDS = hasattr(torch.backends.cuda.matmul, "fp32_precision")


def rounding() -> list[object]:
    """What torch rounds matrix products and convolutions to."""
    owners: list[object] = [torch.backends.cuda.matmul, torch.backends.cudnn.conv if WORDS else torch.backends.cudnn]
    return [getattr(owner, "fp32_precision" if WORDS else "allow_tf32") for owner in owners]


def is_off(found: list[object]) -> bool:
    return found in ([False, False], ["ieee", "none"], ["ieee", "ieee"])


@pytest.fixture
def kept_rounding() -> Iterator[None]:
    """Whatever a test sets, torch rounds as the other tests expect."""
    yield
    if WORDS:
        torch.backends.fp32_precision = "none"  # type: ignore[attr-defined]
        torch.backends.cuda.matmul.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    allow_tf32(False)


def in_words(owner: object) -> None:
    if not hasattr(owner, "fp32_precision"):
        pytest.skip("torch has no words for it yet")
    owner.fp32_precision = "tf32"


SET_TO_TF32 = {
    "flags": lambda: allow_tf32(True),
    "one flag": lambda: setattr(torch.backends.cudnn, "allow_tf32", True),
    "products": lambda: in_words(torch.backends.cuda.matmul),
    "all": lambda: in_words(torch.backends),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
}


@pytest.mark.usefixtures("kept_rounding")
@pytest.mark.parametrize("way", SET_TO_TF32)
def test_rounding_is_put_back_as_it_was_by_the_last_of_several_scopes(way: str) -> None:
    SET_TO_TF32[way]()
    before = rounding()
    first, other = without_tf32(), without_tf32()
    first.__enter__()
    other.__enter__()
    first.__exit__(None, None, None)  # as a thread that is done earlier
    assert is_off(rounding())
    if way in ("flags", "one flag"):
        with torch.backends.cudnn.flags(deterministic=True):
            pass  # reads them all
    other.__exit__(None, None, None)
    assert rounding() == before
    with pytest.raises(KeyError), without_tf32():
        raise KeyError
    assert rounding() == before
    if way == "precision":
        assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.usefixtures("kept_rounding")
def test_what_the_api_computes_on_another_device_is_float32_unless_tf32_is_asked_for(
    tiny: rb.Backbone, method: Callable
) -> None:
    seen = []

    def noting(fp: ForwardPass) -> Tensor:
        seen.append(rounding())
        return fp.features.mean(1)

    method("test-noting", noting)
    halves = {half: copy.deepcopy(getattr(tiny, half)).to("meta") for half in ("features", "head")}
    plain = replace(tiny, **halves, linear=None, device=torch.device("meta"))  # a GPU that is only pretended
    images = torch.randn(2, 3, 16, 16, device="meta")
    allow_tf32(True)
    allowed = rounding()
    for backbone in (plain, replace(plain, arithmetic=Arithmetic("tf32"))):
        rb.explain(backbone, images, method="test-noting")
    assert rounding() == allowed
    assert is_off(seen[0]) and seen[1] == allowed


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
@pytest.mark.parametrize("compile", [False, True])
def test_a_gpu_computes_so_too(tiny_net: nn.Module, images: Tensor, precision: str, compile: bool) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    plain = rb.split_backbone(tiny_net, torch.randn(2, 3, 16, 16), device="cuda")
    try:
        allow_tf32(precision == "tf32")
        other = computing(plain, precision, compile, image_size=16)
        maps = {m: rb.explain(other, images.cuda(), method=m) for m in ("gradcam", "scorecam", "reciprocam")}
    finally:
        allow_tf32(False)
    for method, found in maps.items():
        assert torch.allclose(found, rb.explain(plain, images.cuda(), method=method), atol=0.05), method


def test_tuples_are_widened_each() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x @ x, x

    both = Arithmetic("bfloat16")(Pair(), torch.rand(2, 2))
    assert [t.dtype for t in both] == [torch.float32, torch.float32]
