"""Every command line that README and docs show runs as it is shown, or is checked as far as it can be without hours."""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from small_maps import keep

import reciprocam_bench as rb
from reciprocam_bench.backbones.fitted_head import save_linear_head
from reciprocam_bench.cli import main
from reciprocam_bench.config import Config
from reciprocam_bench.engine.experiment import set_up
from reciprocam_bench.fitting import shape_network

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / page for page in ("README.md", "CONTRIBUTING.md", "results/README.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
# Verbs that would work for hours: the config is loaded, and everything it names, as `validate` does.
_LONG = {"run", "time", "fit-head"}
WNIDS = ("n01440764", "n02099601", "n03028079")


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a page: language and text."""
    for fenced in page.read_text("utf-8").split("\n```")[1::2]:
        language, _, text = fenced.partition("\n")
        yield language, text


def shown(page: Path) -> Iterator[str]:
    """The command lines of a page's blocks, continued lines joined, comments and assignments left out."""
    for language, block in blocks(page):
        for line in block.replace("\\\n", " ").splitlines() if language in ("", "console") else ():
            for command in re.split(r"\s*&&\s*", re.sub(r"(^|\s)#.*", "", line)):
                words = shlex.split(command)
                while words and re.fullmatch(r"\w+=\S*", words[0]):
                    words = words[1:]
                if words[:1] == ["rcam-bench"]:
                    yield shlex.join(words[1:])


# Each command once, under the first page that shows it.
FIRST = {command: page.relative_to(ROOT).as_posix() for page in reversed(PAGES) for command in shown(page)}
COMMANDS = sorted((page, command) for command, page in FIRST.items())


def weights(folder: Path, name: str) -> None:
    """A file of random weights where the documentation's networks look for theirs."""
    library, _, model = name.partition("/")
    path = folder / f"{name}.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    make = torchvision.models.get_model if library == "torchvision" else timm.create_model
    torch.save(make(model).state_dict(), path)


@pytest.fixture(scope="module")
def shallow() -> Iterator[None]:
    """ResNets have one block a stage: the pages' networks by name, layer and size of maps, and quick."""
    blocks, tv, tm = (1, 1, 1, 1), torchvision.models.resnet, timm.models.resnet
    of_torchvision, of_timm = tv._resnet, tm._create_resnet
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tv, "_resnet", lambda block, layers, *rest, **more: of_torchvision(block, blocks, *rest, **more))
        patch.setattr(tm, "_create_resnet", lambda *names, **more: of_timm(*names, **more | {"layers": blocks}))
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, shallow: None, operators_once: None) -> Path:
    """A working folder that has what the documentation speaks of: data, weights, a picture, a head, a module."""
    here = tmp_path_factory.mktemp("reader")
    torch.manual_seed(0)
    for name in ("torchvision/resnet18", "torchvision/resnet50", "timm/resnet50.a1_in1k"):
        weights(here / "weights", name)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(here / "cat.jpg")
    for wnid in WNIDS:
        (here / "imagenet" / wnid).mkdir(parents=True)
        picture.save(here / "imagenet" / wnid / "a.jpg")
    (here / "pictures").mkdir()
    for name in "ab":
        picture.save(here / f"pictures/{name}.jpg")
    (here / "my_nets.py").write_text(
        "import torchvision\nmake = lambda: torchvision.models.resnet18(num_classes=3)\n", "utf-8"
    )
    (here / "names.txt").write_text("cat\ndog\nred fox\n", "utf-8")
    voc(here / "VOCdevkit/VOC2007", picture)
    for _, text in blocks(ROOT / "docs/backbones.md"):
        if "def make(" in text:
            (here / "scan_nets.py").write_text(text)
        if "factory: scan_nets:make" in text:
            (here / "scans.yaml").write_text(text)
    for _, text in blocks(ROOT / "docs/protocols.md"):
        if text.startswith("# mine.yaml"):
            (here / "mine.yaml").write_text(text)
    (here / "hundred.txt").write_text(f"{WNIDS[0]}/a.jpg\n")
    layers = [torch.nn.Conv2d(3, 8, 8, stride=8), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    tiny = torch.nn.Sequential(*layers, torch.nn.Linear(8, 5))
    wants = rb.Preprocessing(resize=64, crop=64)
    backbone = rb.split_backbone(tiny, torch.randn(2, 3, 64, 64), preprocessing=wants)
    rb.export(backbone, here / "model.onnx", classes="input", features=True)
    torch.save(torchvision.models.resnet50(num_classes=20).state_dict(), here / "mine.pth")
    about = {"model": "torchvision/resnet50", "layer": "layer4"}
    save_linear_head(here / "heads/resnet50_voc07.safetensors", torch.randn(20, 2048), torch.zeros(20), about)
    return here


def voc(folder: Path, picture: Image.Image) -> None:
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>40</xmax><ymax>40</ymax></bndbox>"
    text = f"<a><size><width>60</width><height>60</height></size><object><name>dog</name>{box}</object></a>"
    for i in range(9):
        picture.save(folder / f"JPEGImages/{i}.jpg")
        (folder / f"Annotations/{i}.xml").write_text(text)
    for split in ("test", "trainval"):
        (folder / f"ImageSets/Main/{split}.txt").write_text("\n".join(map(str, range(9))))


@pytest.fixture
def reader(place: Path, monkeypatch: pytest.MonkeyPatch, example_plugin: None, loaded_once: None) -> Path:
    """A reader in that folder, with the variables set that the pages export, and the example plug-in installed."""
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    for name, folder in (("IMAGENET_ROOT", "imagenet"), ("VOC_ROOT", "VOCdevkit"), ("IMAGES", "imagenet")):
        monkeypatch.setenv(name, str(place / folder))
    monkeypatch.setenv("RCAM_WEIGHTS_DIR", str(place / "weights"))
    monkeypatch.setenv("RCAM_CACHE_DIR", str(place / "cache"))
    monkeypatch.setattr(shape_network, "train", lambda *given: (shape_network.ShapeNet(), 1.0))  # a minute
    return place


@pytest.fixture
def only_checked(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Runs stop where their work would begin: all that the config names has been loaded and checked."""
    checked = []

    def check(config: Config, *rest: object, **more: object) -> None:
        set_up(config)
        checked.append(config)

    monkeypatch.setattr("reciprocam_bench.engine.complete.complete", check)
    monkeypatch.setattr("reciprocam_bench.engine.complete.only_time", check)
    monkeypatch.setattr("reciprocam_bench.fitting.fit_head.fit_head", check)
    for name in ("report.report", "summary.warnings_of"):
        monkeypatch.setattr(f"reciprocam_bench.reporting.{name}", lambda *rest, **more: "")
    return checked


def call(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["rcam-bench", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code


def test_the_pages_show_commands() -> None:
    assert len(COMMANDS) > 12
    assert {shlex.split(command)[0] for _, command in COMMANDS} >= {"run", "report", "explain", "ls", "validate"}


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), [c for c in COMMANDS if shlex.split(c[1])[0] in _LONG])
def test_a_long_command_is_right_as_shown(
    reader: Path, only_checked: list[Config], monkeypatch: pytest.MonkeyPatch, page: str, command: str
) -> None:
    call(monkeypatch, shlex.split(command))
    assert only_checked


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), [c for c in COMMANDS if shlex.split(c[1])[0] not in _LONG])
def test_a_command_runs_as_shown(reader: Path, monkeypatch: pytest.MonkeyPatch, page: str, command: str) -> None:
    words = shlex.split(command)
    if words[0] in ("report", "compare", "check"):
        for name in (word for word in words[1:] if word.startswith("runs/")):
            result = "quickstart" if name == "runs/quickstart" or words[0] == "check" else "resnet18_imagenet_subset"
            shutil.rmtree(name, ignore_errors=True)
            shutil.copytree(ROOT / "results" / result, name)
            for method in ("gradcam", "reciprocam") if "--agreement" in words else ():
                keep(Path(name), method, np.random.default_rng(0).random((4, 7, 7)))
    if words[0] == "check":
        call(monkeypatch, [*words[:4], "--update"])
    call(monkeypatch, words)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in PAGES])
def test_python_that_a_page_shows_runs_as_shown(reader: Path, page: str) -> None:
    for language, code in blocks(ROOT / page):
        if language == "python" and "import reciprocam_bench as rb" in code:
            exec(compile(code, page, "exec"), {"__name__": "__main__"})
