"""Bad weights, models and factories."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bad_kinds import Kind, refusal
from torch import Tensor, nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.factory import load_factory
from reciprocam_bench.backbones.weights import load_file_into


class Code:
    """A pickle of it would make a file when it is read."""

    def __reduce__(self) -> tuple:
        return (os.mkdir, ("harm",))


class Net(nn.Module):
    """A sound classifier of images, whose answers ``change`` spoils."""

    def __init__(self, change: Callable[["Net", Tensor], Any] = lambda net, x: net.logits(x)) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, stride=4), nn.Linear(4, 5)
        self.change, self.calls = change, 0

    def logits(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3)))

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return self.change(self, x)


def weights(what: str, told: str, make: Callable[[Path], object], name: str = "w.pth") -> Kind:
    """A weights file for a linear layer of 4 inputs and 4 outputs."""

    def tell(folder: Path) -> str:
        make(folder / name)
        said = refusal(lambda: load_file_into(nn.Linear(4, 4), folder / name, "net"))
        assert not Path("harm").exists()
        return said

    return Kind(what, told, tell)


def saved(content: Any) -> Callable[[Path], object]:
    return lambda path: torch.save(content, path)


def holds(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def state(weight: Tensor) -> Callable[[Path], object]:
    return saved({"weight": weight, "bias": torch.zeros(4)})


def cut(path: Path) -> None:
    state(torch.zeros(4, 4))(path)
    path.write_bytes(path.read_bytes()[:-200])


def bomb(path: Path) -> None:
    state(torch.zeros(8_000_000, dtype=torch.uint8))(path)
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def header(text: bytes, size: int | None = None) -> Callable[[Path], object]:
    """A safetensors file of this header."""
    return holds((len(text) if size is None else size).to_bytes(8, "little") + text)


def model(what: str, told: str, change: Callable[[Net, Tensor], Any], layer: str = "image") -> Kind:
    """A model that answers in a bad way."""
    return Kind(what, told, lambda _: refusal(lambda: rb.split_backbone(Net(change), torch.rand(2, 3, 16, 16), layer)))


def nan_weights(_: Path) -> str:
    net = Net()
    net.fc.weight.data[0] = torch.nan
    return refusal(lambda: rb.split_backbone(net, torch.rand(2, 3, 16, 16)))


def in_place(net: Net, x: Tensor) -> Tensor:
    return net.logits(x.mul_(2))


def fails(net: Net, x: Tensor) -> Tensor:
    raise ZeroDivisionError("out of luck")


def leaves(net: Net, x: Tensor) -> Tensor:
    raise SystemExit(3)


def factory(what: str, told: str, name: str) -> Kind:
    """A function that is to make a network."""
    return Kind(what, told, lambda _: refusal(lambda: load_factory(name)))


NO_WEIGHTS = r"w\.\w+: not readable as a weights file: "
OTHERS = r"w\.pth: these are not the weights of net: "
WEIGHTS = [
    weights("a pickle that runs code", f"{NO_WEIGHTS}it holds Python objects", saved(Code())),
    weights("a whole module", f"{NO_WEIGHTS}it holds Python objects", saved(nn.Linear(4, 4))),
    weights(
        "a TorchScript archive",
        f"{NO_WEIGHTS}it is a TorchScript archive",
        lambda path: torch.jit.save(torch.jit.script(nn.Linear(4, 4)), path),
    ),
    weights("an empty file", NO_WEIGHTS, holds(b"")),
    weights("text", NO_WEIGHTS, holds(b"a: b\n")),
    weights("a file cut short", NO_WEIGHTS, cut),
    weights(
        "an archive that unpacks to many times its size",
        f"{NO_WEIGHTS}ValueError: its [0-9,]+ bytes would unpack to 8,",
        bomb,
    ),
    weights(
        "a pickle that promises 10^18 bytes", NO_WEIGHTS, holds(b"\x80\x02\x8e" + (10**18).to_bytes(8, "little") + b".")
    ),
    weights(
        "a safetensors header of 10^18 bytes", f"{NO_WEIGHTS}.*header too large", header(b"{}", 10**18), "w.safetensors"
    ),
    weights(
        "safetensors of 10^18 numbers",
        NO_WEIGHTS,
        header(b'{"weight":{"dtype":"F32","shape":[1000000000,1000000000],"data_offsets":[0,16]}}'),
        "w.safetensors",
    ),
    weights("a tensor of 10^12 numbers over one", f"{OTHERS}size mismatch", state(torch.zeros(1).expand(10**6, 10**6))),
    weights("other shapes", f"{OTHERS}size mismatch", state(torch.zeros(3, 4))),
    weights("other names", f"{OTHERS}Missing key", saved({"a": torch.zeros(1)})),
    weights(
        "whole numbers", f"{OTHERS}'weight' is int8, the network's float32", state(torch.zeros(4, 4, dtype=torch.int8))
    ),
    weights(
        "complex numbers",
        f"{OTHERS}'weight' is complex64, the network's float32",
        state(torch.zeros(4, 4, dtype=torch.complex64)),
    ),
    weights("sparse tensors", OTHERS, state(torch.zeros(4, 4).to_sparse())),
    weights("a list", r"w\.pth: holds no state dict", saved([1, 2])),
    weights("a folder", r"weights file w\.pth is a folder", Path.mkdir),
    weights("a named pipe", r"weights file w\.pth is no regular file", os.mkfifo),
    Kind("NaN in the weights", "custom: the weights hold NaN or infinite values", nan_weights),
]
MODELS = [
    model(
        "a tuple", r"custom: the model must return logits \(N, K\); it returns tuple", lambda net, x: (net.logits(x), 1)
    ),
    model(
        "a dictionary",
        r"custom: the model must return logits \(N, K\); it returns dict",
        lambda net, x: {"out": net.logits(x)},
    ),
    model("maps", r"custom: the model must return logits \(N, K\); it returns shape", lambda net, x: net.conv(x)),
    model(
        "NaN", "custom: the logits of the example are NaN or infinite", lambda net, x: net.logits(x) * torch.nan, "auto"
    ),
    model("one class", "custom: the softmax of one output is always 1", lambda net, x: net.logits(x)[:, :1]),
    model(
        "no class",
        "custom: the model must return a row of logits for each of 2 images",
        lambda net, x: net.logits(x)[:, :0],
    ),
    model(
        "one row for all images",
        "custom: the model must return a row of logits for each of 2 images",
        lambda net, x: net.logits(x)[:1],
    ),
    model(
        "whole numbers",
        "custom: the model must return logits as floating-point numbers",
        lambda net, x: net.logits(x).long(),
    ),
    model(
        "complex numbers",
        "custom: the model must return logits as floating-point numbers",
        lambda net, x: net.logits(x).to(torch.complex64),
    ),
    model("an input changed in place", r"custom: the model changes its input in place", in_place),
    model(
        "a state that changes the answer",
        "custom: the model answers the same images otherwise",
        lambda net, x: net.logits(x) + net.calls,
    ),
    model(
        "noise in the answer",
        "custom: the model answers the same images otherwise",
        lambda net, x: net.logits(x) + torch.rand(5),
    ),
    model(
        "logits of half precision", "custom: logits of torch.float16; give", lambda net, x: net.logits(x).half(), "auto"
    ),
    Kind(
        "a network of half precision",
        "custom: images of torch.float16; give a network of float32 throughout",
        lambda _: refusal(lambda: rb.split_backbone(Net().half(), torch.rand(2, 3, 16, 16).half())),
    ),
    model("an exception", "custom: the model cannot take images .*ZeroDivisionError: out of luck", fails),
    model("an attempt to end the process", "custom: the model cannot take images .*SystemExit: 3", leaves),
    Kind(
        "no model at all",
        "custom: a int is no model",
        lambda _: refusal(lambda: rb.split_backbone(5, torch.rand(2, 3, 16, 16))),
    ),
    Kind(
        "images that are none",
        "custom: example_input must be images",
        lambda _: refusal(lambda: rb.split_backbone(Net(), "x")),
    ),
]
FACTORIES = [
    factory("`os:abort`", "backbone.factory: os:abort is a function of Python's own", "os:abort"),
    factory("`os.path:join`", "backbone.factory: os.path:join failed", "os.path:join"),
    factory("`os:sep`, no function", "backbone.factory: 'os' has no function 'sep'", "os:sep"),
    factory("`os`", "backbone.factory: 'os' must be written package.module:function", "os"),
    factory("`nowhere:make`", "backbone.factory: there is no module 'nowhere'", "nowhere:make"),
    factory("`os:getcwdb`", "backbone.factory: os:getcwdb is a function of Python's own", "os:getcwdb"),
    factory("`threading:Event`, which makes no network", "backbone.factory: ", "threading:Event"),
    factory("`sys:exit`", "backbone.factory: sys:exit is a function of Python's own", "sys:exit"),
]
GROUPS = {"Weights files": WEIGHTS, "What a model returns": MODELS, "Factories": FACTORIES}
