"""Every mistake of the user's: exit code 2 and one line that says what, where and what to do."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from reciprocam_bench.cli import main

pytestmark = pytest.mark.slow

RUN = ("run", "-c", "c.yaml", "-o", "out")
EXPLAIN = ("explain", "pictures/n01440764/a.png", "-o", "out", "-m", "timm/test_resnet", "--weights", "none")
NO_RUN = "is not a run folder: it has no config.yaml; give the folder that a run was written to"
CONFIG = {
    "backbone": {"model": "timm/test_resnet", "weights": "none"},
    "dataset": {"name": "imagenet", "root": "pictures"},
    "methods": ["gradcam"],
    "device": "cpu",
    "threads": 1,
    "maps": 0,
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a good config ``c.yaml``, one picture, and a file called ``file``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMAGENET_ROOT", raising=False)
    monkeypatch.delenv("RCAM_WEIGHTS_DIR", raising=False)
    (tmp_path / "pictures/n01440764").mkdir(parents=True)
    Image.effect_noise((40, 40), 50).save(tmp_path / "pictures/n01440764/a.png")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(CONFIG))
    (tmp_path / "file").write_text("x")
    return tmp_path


@pytest.fixture
def mistake(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable[..., str]:
    """Calls ``rcam-bench``, which must fail as a mistake of the user's does, and returns what it said."""

    def call(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["rcam-bench", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        assert end.value.code == 2
        assert out == ""
        assert err.startswith("rcam-bench: ")
        assert err.count("\n") == 1, err
        assert err.endswith("\n")
        assert len(err) < 400
        return err.removeprefix("rcam-bench: ").rstrip("\n")

    return call


@pytest.mark.parametrize(
    "override, message",
    [
        ("methods=[gradcm]", "unknown method 'gradcm'; did you mean 'gradcam'? (rcam-bench ls methods)"),
        (
            "methods=[{name: reciprocam, mask: gausian}]",
            "method 'reciprocam': option 'mask': Input should be 'one-hot'",
        ),
        (
            "methods=[{name: reciprocam, msk: gaussian}]",
            "method 'reciprocam': unknown option 'msk'; did you mean 'mask'?",
        ),
        ("methods=[gradcam, gradcam]", "methods: 'gradcam' is listed twice; remove one, or give one a label"),
        ("metrics=[increse]", "unknown metric 'increse'; did you mean 'increase'? (rcam-bench ls metrics)"),
        ("metrics=[adcc, adcc]", "metrics: 'adcc' is listed twice; remove one, or give one a label"),
        (
            "metrics=[{name: increase, label: images}]",
            "metrics: 'images' is a column that tables have for something else; give another label",
        ),
        (
            "metrics=[average_drop, {name: increase, label: average_drop_low}]",
            "metrics: 'average_drop_low' is a column that tables have for something else; give another label",
        ),
        (
            "metrics=[average_drop, {name: increase, label: Drop}]",
            "metrics: 'average_drop' and 'Drop' are both headed 'Drop'; give one another label",
        ),
        ("backbone.model=timm/resnet5", "timm has no model 'resnet5'; did you mean 'resnet50'?"),
        ("backbone.model=torchvision/resnt50", "torchvision has no model 'resnt50'; did you mean 'resnet50'?"),
        (
            "backbone.model=tim/resnet50",
            "model 'tim/resnet50': write torchvision/NAME or timm/NAME; did you mean 'timm'?",
        ),
        ("backbone.model=resnet50", "model 'resnet50': write torchvision/NAME or timm/NAME"),
        ("backbone.model=timm/", "timm has no model ''"),
        ("backbone.model=timm/test_resnet.a1", "timm/test_resnet has no weights 'a1'; known: r160_in1k"),
        ("backbone.layer=layer9", "timm/test_resnet: layer 'layer9' is not in the network; did you mean 'layer4'?"),
        ("backbone.weights=IMAGENET", "timm/test_resnet: unknown weights 'IMAGENET'; known: default, none, r160_in1k"),
        (
            "backbone.weights=r160_in2k",
            "timm/test_resnet: unknown weights 'r160_in2k'; did you mean 'r160_in1k'?; default takes the library's own",
        ),
        ("backbone.weights=no/such.pth", "weights file no/such.pth does not exist; correct backbone.weights"),
        ("backbone.weights=pictures", "weights file pictures is a folder; correct backbone.weights"),
        ("backbone.weights=file", "file: not readable as a weights file"),
        ("dataset.name=imagnet", "unknown dataset 'imagnet'; did you mean 'imagenet'? (rcam-bench ls datasets)"),
        ("dataset.root=nowhere", "dataset.root: nowhere is not a folder; correct the path"),
        ("dataset.root=file", "dataset.root: file is not a folder; correct the path"),
        (
            "dataset.root=${IMAGENET_ROOT}",
            "${IMAGENET_ROOT}: the environment variable IMAGENET_ROOT is not set; export",
        ),
        ("dataset.root=5", "dataset 'imagenet': option 'root': Input should be a valid string, not 5"),
        ("dataset.rot=x", "dataset 'imagenet': unknown option 'rot'; did you mean 'root'?"),
        ("dataset={name: imagenet}", "dataset 'imagenet': 'root' is missing; add dataset.root to the config"),
        ("dataset.boxes=nowhere", "dataset.boxes: nowhere is not a folder; correct the path"),
        ("protocol=popi-2021", "unknown protocol 'popi-2021'; did you mean 'poppi-2021'? (rcam-bench ls protocols)"),
        ("protocol=[poppi-2021, poppi-2021]", "protocol"),
        ("classes=1000", "classes: 1000 is outside 0 to 999"),
        ("timing.relative_to=cam", "timing.relative_to: 'cam' is not among the timed methods (gradcam)"),
        ("timing.methods=[grad]", "unknown method 'grad'"),
        ("timing.repeats=0", "c.yaml: timing.repeats: give a number of rounds from 1 to 1,000,000, or auto, not 0"),
        ("device=gpu", "c.yaml: device: Input should be 'auto', 'cpu', 'cuda' or 'mps', not 'gpu'"),
        ("seed=123456789012345678901234567890", ""),
        ("zzz=1", "c.yaml: unknown key 'zzz'; known: "),
        ("backbone.modle=x", "c.yaml: unknown key 'backbone.modle'; did you mean 'model'?"),
        ("backbone", "--set backbone: write key=value, for example --set backbone.weights=none"),
        ("methods=[a", "--set methods=[a: '[a' is not a YAML value"),
        ("limit=2024-13-45", "--set limit=2024-13-45: '2024-13-45' is not a YAML value"),
    ],
)
def test_a_wrong_value(mistake: Callable[..., str], here: Path, override: str, message: str) -> None:
    assert mistake(*RUN, "--set", override).startswith(message)
    assert not (here / "out").exists()


@pytest.mark.parametrize("verb", ["run", "time", "fit-head", "validate"])
def test_a_config_is_given_once(mistake: Callable[..., str], verb: str) -> None:
    assert mistake(verb).startswith("no config is given; give a file or a name, for example quickstart (rcam-bench ls")
    assert mistake(verb, "c.yaml", "-c", "d.yaml") == "two configs are given, 'c.yaml' and 'd.yaml'; give one"
    assert mistake(verb, "nowhere", "--config", "nowhere").startswith("config 'nowhere' not found")


def test_a_device_that_is_not_there(mistake: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert mistake(*RUN, "--device", "cuda") == "device 'cuda' is not available here; use --device cpu"


@pytest.mark.parametrize(
    "words",
    [
        (*RUN, "--limit", 0),
        (*RUN, "--limit", "many"),
        (*RUN, "--bogus"),
        ("run",),
        ("bogus",),
        ("report",),
        ("compare",),
        ("explain", "pictures/n01440764/a.png"),
        (*EXPLAIN, "--class", -1),
        ("ls",),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_a_command_that_cannot_be_parsed(mistake: Callable[..., str], words: tuple) -> None:
    assert mistake(*words)


@pytest.mark.parametrize("words", [RUN[:2], ("time", "-c"), ("validate",)])
@pytest.mark.parametrize(
    "name, message",
    [
        ("nowhere", "config 'nowhere' not found here or in configs/ (rcam-bench ls configs); "),
        (
            "quickstrat",
            "config 'quickstrat' not found here or in configs/ (rcam-bench ls configs); did you mean 'quickstart'?",
        ),
        ("pictures", "config 'pictures' not found"),
        ("file", "file: a config is a mapping of keys to values; this file is not one"),
        ("pictures/n01440764/a.png", "pictures/n01440764/a.png: not readable as YAML: "),
    ],
)
def test_a_config_that_is_none(mistake: Callable[..., str], words: tuple, name: str, message: str) -> None:
    assert mistake(*words, name).startswith(message)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- backbone\n",
        "backbone: [{timm: x}]\ndataset: {name: folder}\nmethods: [cam]\n",
        "backbone: {model: [a, b]}\ndataset: {name: folder}\nmethods: [cam]\n",
        "backbone:\n\tmodel: timm/x\n",
        "methods: [cam]\n",
        "methods: {cam: {}}\nbackbone: {model: timm/x}\ndataset: {name: folder}\n",
        "&a [*a]\n",
        "a: &x {b: *x}\n",
        "a: 2024-02-31\n",
        "1: 2\n",
        "? {a: b}\n: c\n",
        "%YAML 9.9\n---\na: b\n",
        "a: b: c\n",
        "base: 5\n",
        "base: strange.yaml\n",
        "base: pictures\n",
        "\ufeff\u200b: 1\n",
    ],
)
def test_a_strange_config(mistake: Callable[..., str], here: Path, text: str) -> None:
    (here / "strange.yaml").write_text(text, encoding="utf-8")
    assert mistake("run", "-c", "strange.yaml", "-o", "out")
    assert not (here / "out").exists()


def test_weights_that_are_garbage_of_another_net_or_no_weights(mistake: Callable[..., str], here: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), here / "other.pth")
    torch.save([1, 2], here / "list.pth")
    torch.save(torch.nn.Linear(2, 2), here / "module.pth")
    (here / "empty.pth").write_bytes(b"")
    (here / "text.pth").write_text("a: b\n")
    (here / "zip.pth").write_bytes(b"PK\3\4" + b"x" * 50)
    (here / "bytes.safetensors").write_bytes(bytes(range(64)))
    for name, message in (
        ("other.pth", "these are not the weights of timm/test_resnet: "),
        ("list.pth", "holds no state dict (names to tensors); save model.state_dict()"),
        ("module.pth", "not readable as a weights file: "),
        ("empty.pth", "not readable as a weights file: "),
        ("text.pth", "not readable as a weights file: "),
        ("zip.pth", "not readable as a weights file: "),
        ("bytes.safetensors", "not readable as a weights file: "),
    ):
        said = mistake(*RUN, "--set", f"backbone.weights={here / name}")
        assert said.startswith(f"{here / name}: {message}")
        assert "\x1b" not in said


def test_a_folder_of_weights_that_is_none(mistake: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCAM_WEIGHTS_DIR", "file")
    said = mistake(*RUN, "--set", "backbone.weights=default")
    assert said == "RCAM_WEIGHTS_DIR=file is not a folder; correct or unset it"


def test_a_model_that_cannot_take_the_protocols_image_size(mistake: Callable[..., str]) -> None:
    assert "timm/vit_tiny_patch16_384" in mistake(*RUN, "--set", "backbone.model=timm/vit_tiny_patch16_384")


@pytest.mark.parametrize("verb", ["run", "time"])
@pytest.mark.parametrize(
    "output, message",
    [
        ("file", "file is a file; give --output another name"),
        ("file/under", "file/under cannot be written: Not a directory; give --output another folder"),
        ("pictures", "pictures holds files but no run; give --output another folder"),
        (".", ". holds files but no run; give --output another folder"),
        ("x" * 300, f"'{'x' * 60}…' cannot be a folder: File name too long; give another name"),
    ],
)
def test_an_output_that_cannot_be_one(mistake: Callable[..., str], verb: str, output: str, message: str) -> None:
    assert mistake(verb, "-c", "c.yaml", "--set", "timing.repeats=1", "-o", output) == message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_that_may_not_be_written(mistake: Callable[..., str], here: Path) -> None:
    (here / "locked").mkdir(mode=0o500)
    assert mistake(*RUN[:3], "-o", "locked/run").endswith("give --output another folder")


def test_another_config_in_the_run_folder(mistake: Callable[..., str], here: Path) -> None:
    (here / "out").mkdir()
    (here / "out/config.yaml").write_text(yaml.safe_dump(CONFIG | {"seed": 5}))
    (here / "out/environment.json").write_text('{"format": 2, "fingerprint": {}}')
    assert mistake(*RUN) == (
        "out holds an unfinished run of another config (seed was 5, is 0); give --output another folder, or --fresh to "
        "replace it"
    )


def test_another_programs_config_in_the_run_folder(mistake: Callable[..., str], here: Path) -> None:
    (here / "out").mkdir()
    (here / "out/config.yaml").write_text("other: 1\n")
    (here / "out/environment.json").write_text('{"format": 2, "fingerprint": {}}')
    said = mistake(*RUN)
    assert said.startswith("out/config.yaml: unknown key 'other'")
    assert said.endswith("; restore the file, or run with --fresh")


def test_no_image_can_be_read(mistake: Callable[..., str], here: Path) -> None:
    (here / "pictures/n01440764/a.png").write_text("no image")
    sys_said = mistake(*RUN, "--quiet")
    assert sys_said == "none of the 1 images could be judged; out/skipped.csv lists why"


def test_images_without_labels_under_a_protocol_that_explains_labels(mistake: Callable[..., str]) -> None:
    sets = ("--set", "dataset.name=folder", "--set", "protocol=recipro-2024")
    assert "no label for n01440764/a.png" in mistake(*RUN, *sets)


def test_timing_without_a_timing_part(mistake: Callable[..., str], here: Path) -> None:
    assert mistake("time", "-c", "c.yaml", "-o", "out", "-q").startswith("the config has no 'timing:' part; add one")
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (("ls", "method"), "ls method: no such listing; did you mean 'methods'?"),
        (("ls", "things"), "ls things: no such listing; known: configs, datasets, methods, metrics, models, protocols"),
        (("ls", "methods", "zz*"), "ls methods: no name matches 'zz*'"),
        (("ls", "models", "["), "ls models: no name matches '['"),
        (
            ("report", "pictures"),
            "pictures is not a run folder: it has no config.yaml; give the folder that a run was written to",
        ),
        (
            ("report", "nowhere"),
            "nowhere is not a run folder: it has no config.yaml; give the folder that a run was written to",
        ),
        (
            ("report", "file"),
            "file is not a run folder: it has no config.yaml; give the folder that a run was written to",
        ),
        (("report", "pictures", "--format", "pdf"), "--format pdf: choose one of markdown, latex, csv, terminal"),
        (("compare", "pictures", "--format", "pdf"), "--format pdf: choose one of markdown, latex, csv, terminal"),
        (("compare", "file"), f"file {NO_RUN}"),
    ],
)
def test_ls_and_report(mistake: Callable[..., str], words: tuple, message: str) -> None:
    assert mistake(*words) == message


@pytest.mark.parametrize(
    "name, content",
    [
        ("config.yaml", b"a: [1\n"),
        ("config.yaml", b"\xff\xfe\x00"),
        ("config.yaml", b"- a\n"),
        ("summary.csv", None),
        ("summary.csv", b""),
        ("summary.csv", b"other,columns\n1,2\n"),
        ("summary.csv", b"\xff\xfe\x00"),
    ],
)
def test_report_of_a_damaged_run(mistake: Callable[..., str], here: Path, name: str, content: bytes | None) -> None:
    (here / "run").mkdir()
    (here / "run/config.yaml").write_text(yaml.safe_dump(CONFIG | {"seed": 0}))
    if content is not None:
        (here / "run" / name).write_bytes(content)
    assert "run" in mistake("report", "run")


@pytest.mark.parametrize(
    "words, message",
    [
        (("nowhere.png", *EXPLAIN[2:]), "nowhere.png does not exist; give an image file"),
        (("file", *EXPLAIN[2:]), "file: unreadable image: of no format that Pillow knows"),
        ((*EXPLAIN[1:], "--class", 1000), "--class 1000: the network has classes 0 to 999"),
        ((*EXPLAIN[1:], "--method", "gradcm"), "unknown method 'gradcm'; did you mean 'gradcam'?"),
        ((*EXPLAIN[1:], "--layer", "layer9"), "timm/test_resnet: layer 'layer9' is not in the network"),
        (
            (*EXPLAIN[1:], "--layer", "layer3", "--method", "cam"),
            "method 'cam': this method needs a head of global average pooling",
        ),
        (
            (*EXPLAIN[1:], "--device", "gpu"),
            "explain: device: Input should be 'auto', 'cpu', 'cuda' or 'mps', not",
        ),
        ((*EXPLAIN[1:], "-o", "file"), "file cannot be written: "),
        ((*EXPLAIN[1:], "-o", "file/x"), "file/x cannot be written: "),
        ((*EXPLAIN[1:], "--weights", "no/such.pth"), "weights file no/such.pth does not exist"),
        ((*EXPLAIN[1:], "-m", "resnet18"), "model 'resnet18': write torchvision/NAME or timm/NAME"),
    ],
)
def test_explain(mistake: Callable[..., str], here: Path, words: tuple, message: str) -> None:
    assert mistake("explain", *words).startswith(message)
    assert not (here / "out").exists()
