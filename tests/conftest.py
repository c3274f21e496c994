"""Networks, images and places that several tests share."""

import functools
import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from tiny_runs import draw_classes, draw_plain
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.engine.allocator import keep_freed_memory
from reciprocam_bench.explainers.registry import EXPLAINERS, explainer
from reciprocam_bench.metrics.registry import METRICS, metric
from reciprocam_bench.registry import Registry

# Real images and weights lie beside a developer's clone, never in it; tests that need them skip elsewhere.
DATA = Path(os.environ.get("RCAM_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

# On Python 3.11 torch's compiler fails where something imported distutils before setuptools.
with suppress(ImportError):
    importlib.import_module("setuptools")
keep_freed_memory()
# What tests leave behind is little beside libraries' objects, which each collection looks through.
gc.set_threshold(100_000, 50, 100)
# On small networks, and beside other work, a second thread costs more than it gains; so in processes that tests start.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """No test cuts the power: what ``fsync`` waits for, milliseconds a file, none could tell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A test that sets another number of threads leaves the next one its own."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def only_what_is_new() -> Iterator[None]:
    """The collector leaves out all that was there before: most of each test's time would go into libraries' objects."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def loaded_once() -> Iterator[None]:
    """A network that several commands name is loaded, with weights of one seed if random, for the first of them."""
    made: dict[str, rb.Backbone] = {}

    def load(*names: object, **more: object) -> rb.Backbone:
        key = repr((names, more))
        if key not in made:
            torch.manual_seed(0)
            made[key] = rb.load_backbone(*names, **more)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reciprocam_bench.engine.experiment.load_backbone", load)
        yield


@pytest.fixture(scope="session")
def operators_once() -> Iterator[None]:
    """ONNX's operators are looked up once; torch reads the source of all of them again for every file it exports."""
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry
    except ImportError:  # a torch whose exporter is another one
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture
def method() -> Iterator[Callable[..., str]]:
    """Registers explainers for one test."""
    yield from _registering(EXPLAINERS, explainer)


@pytest.fixture
def new_metric() -> Iterator[Callable[..., str]]:
    """Registers metrics for one test."""
    yield from _registering(METRICS, metric)


@pytest.fixture
def example_plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example plug-in is installed for one test."""
    before = {registry: registry.all().keys() for registry in (EXPLAINERS, METRICS)}
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugin"))
    importlib.import_module("rcam_bench_example")
    yield
    del sys.modules["rcam_bench_example"]
    for registry, names in before.items():
        for name in registry.all().keys() - names:
            del registry._specs[name]


def _registering(registry: Registry, decorator: Callable) -> Iterator[Callable[..., str]]:
    registry.all()
    added = []

    def register(name: str, function: Callable, **about: object) -> str:
        decorator(name, **about)(function)
        added.append(name)
        return name

    yield register
    for name in added:
        del registry._specs[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that ask for real weights or images are marked so, and take their time."""
    for item in items:
        if {"weights_dir", "data"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.weights)
            item.add_marker(pytest.mark.slow)


class TinyNet(nn.Module):
    """Convolution, batch norm and ReLU to 8 maps, global average pooling, one linear layer to 5 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.stem(x)).flatten(1))


@pytest.fixture
def tiny_net() -> TinyNet:
    """A fresh net with seeded weights and batch-norm statistics that are not trivial."""
    torch.manual_seed(0)
    net = TinyNet()
    norm = net.stem[1]
    norm.running_mean.uniform_(-0.2, 0.2)
    norm.running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.fixture
def tiny(tiny_net: TinyNet) -> rb.Backbone:
    """`TinyNet`, split for 16x16 images: 8 maps of 4x4."""
    return rb.split_backbone(tiny_net, torch.randn(2, 3, 16, 16), device="cpu")


@pytest.fixture
def images() -> torch.Tensor:
    """Three seeded 16x16 images."""
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def make_pipe() -> Iterator[Callable[[Path], None]]:
    """Makes a named pipe; a test that opens it fails after 20 seconds instead of waiting for ever."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("a pipe was opened"))
    signal.alarm(20)
    yield os.mkfifo
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six pictures of 40x40 in the folders of three classes of ImageNet."""
    return draw_classes(tmp_path / "pictures")


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images without labels, the second of which cannot be read."""
    root = draw_plain(tmp_path_factory.mktemp("seven") / "pictures", 7)
    (root / "001.png").write_text("no image")
    return root


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real test images; skips where it is absent."""
    if not (DATA / "imagenet").is_dir():
        pytest.skip("real test images are not on this machine (RCAM_TEST_DATA)")
    return DATA


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """The folder of real weights; skips where ``RCAM_WEIGHTS_DIR`` is not set."""
    folder = os.environ.get("RCAM_WEIGHTS_DIR")
    if not folder:
        pytest.skip("RCAM_WEIGHTS_DIR is not set")
    return Path(folder)
