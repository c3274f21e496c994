"""A network of one's own for grey images, from a config and from Python, to the table in a paper."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.backbones.names_file import read_class_names
from reciprocam_bench.cli import main
from reciprocam_bench.config import parse_config
from reciprocam_bench.reporting.latex import to_latex

NAMES = ["healthy", "ill"]
CODE = """
from torch import nn

def make():
    layers = [nn.Conv2d(1, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)]
    net = nn.Sequential(*layers)
    for p in net.parameters():
        nn.init.constant_(p, 0.1)
    net[-1].weight.data[1] += 1  # a bright image is ill
    net[-1].bias.data[0] += 2
    return net
"""
CONFIG = """
backbone: {factory: own_grey_nets:make, mean: [0.5], std: [0.25], size: 32, class_names: [healthy, ill]}
dataset: {name: folder, root: scans, labels: labels.csv}
methods: [cam, gradcam, "reciprocam[mask=gaussian]"]
device: cpu
threads: 1
maps: 1
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a module, a config, and scans of 12 bits in files of 16."""
    (tmp_path / "own_grey_nets.py").write_text(CODE)
    (tmp_path / "scans.yaml").write_text(CONFIG)
    (tmp_path / "scans").mkdir()
    noise = np.random.default_rng(0)
    for i in range(4):
        values = noise.integers(0, 400, (40, 60)).astype(np.uint16)
        values[10:30, 20 : 25 + 30 * (i % 2)] = 4095
        Image.fromarray(values).save(tmp_path / f"scans/{i}.png")
    (tmp_path / "labels.csv").write_text("".join(f"{i}.png,{i % 2}\n" for i in range(4)))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("own_grey_nets", None)


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rcam-bench", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.mark.slow
def test_a_config_runs_it_on_16_bit_scans(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert call(monkeypatch, "validate", "scans.yaml") == 0
    said = {line[:20].strip(): line[21:] for line in capsys.readouterr().out.splitlines()}
    assert said["images"] == "32 pixels, grey, mean 0.5, std 0.25"
    assert said["outputs"] == "2 (healthy, ill)"
    assert call(monkeypatch, "run", "scans.yaml", "-q") == 0
    rows = pd.read_csv(place / "runs/scans/per_image.csv")
    assert set(rows["status"]) == {"ok"} and rows["method"].nunique() == 3 and rows["image"].nunique() == 4
    facts = json.loads((place / "runs/scans/environment.json").read_text())
    assert facts["backbone"]["class_names"] == NAMES
    # The same images through the network, by hand.
    net, first = backbone(place), rows.drop_duplicates("image").set_index("image")
    for name, row in first.iterrows():
        logits = net(rb.preprocess(net, [rb.read_picture(place / "scans" / str(name))]))
        assert float(logits.softmax(1)[0, row["class"]]) == pytest.approx(row["probability"], abs=1e-5)
    assert set(first["predicted"]) == {0, 1}
    (place / "names.txt").write_text("well\nsick\n")  # names are no values: the same run
    assert (
        call(monkeypatch, "run", "scans.yaml", "-q", "-o", "runs/scans", "--set", "backbone.class_names=names.txt") == 0
    )


def backbone(place: Path) -> rb.Backbone:
    code: dict = {}
    exec(CODE, code)
    wants = rb.Preprocessing(mean=(0.5,), std=(0.25,), resize=32, crop=32)
    return rb.split_backbone(code["make"](), torch.randn(1, 1, 32, 32), preprocessing=wants, class_names=NAMES)


def test_python_explains_it_on_the_pictures_own_pixels(place: Path) -> None:
    net, picture = backbone(place), rb.read_picture(place / "scans/1.png")
    images = rb.preprocess(net, [picture])
    assert images.shape == (1, 1, 32, 32)
    assert images.min() >= -2 and images.max() <= 2  # (0 to 1 - mean) / std
    maps = rb.explain(net, images)
    assert rb.min_max(maps).amax() == 1
    assert rb.on_picture(net, picture, maps[0]).shape == (40, 60)
    assert rb.overlay(net, picture, maps[0]).size == (60, 40)
    assert rb.evaluate(net, images, maps, method="reciprocam", protocol="recipro-2024")["adcc"].shape == (1,)
    assert net.at("0").class_names == net.class_names == ("healthy", "ill")


def test_channels_and_names_that_do_not_fit_are_told(tiny_net: nn.Module) -> None:
    grey = rb.Preprocessing(mean=(0.5,), std=(0.25,))
    with pytest.raises(rb.UserError, match="custom: example_input has 3 channels, its preprocessing 1"):
        rb.split_backbone(tiny_net, torch.randn(1, 3, 16, 16), preprocessing=grey)
    with pytest.raises(rb.UserError, match="custom: class_names has 2 names for 5 outputs"):
        rb.split_backbone(tiny_net, torch.randn(1, 3, 16, 16), class_names=NAMES)
    for mean, std in (((0.5,), (0.2, 0.2)), ((), ()), ((0.5,), (0.0,))):
        with pytest.raises(rb.UserError, match="preprocessing: mean and std are a value for each channel, std above 0"):
            rb.Preprocessing(mean=mean, std=std)


def test_without_preprocessing_other_channels_are_taken_as_they_are() -> None:
    net = nn.Sequential(nn.Conv2d(4, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    split = rb.split_backbone(net, torch.randn(1, 4, 16, 16))
    assert (split.preprocessing.mean, split.preprocessing.std) == ((0.0,) * 4, (1.0,) * 4)


def own(**backbone: object) -> object:
    data = {"backbone": {"factory": "a:b", **backbone}, "dataset": {"name": "samples"}, "methods": ["cam"]}
    return parse_config(data, "c.yaml")


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        ({"mean": [0.5]}, "c.yaml: backbone: mean and std go together, a value for each channel"),
        ({"mean": [0.5], "std": [0.1, 0.1, 0.1]}, "c.yaml: backbone: mean and std go together, a value for each"),
        ({"mean": [0.5, 0.5], "std": [1, 1]}, "c.yaml: backbone.mean: give 1 value (grey) or 3 (RGB), not 2"),
        ({"mean": [0.5], "std": [0]}, "c.yaml: backbone.std.0: Input should be greater than 0, not 0"),
        (
            {"channels": 3, "mean": [0.5], "std": [1]},
            "c.yaml: backbone: 3 channels need as many values of mean and std",
        ),
        ({"channels": 2}, "c.yaml: backbone.channels: Input should be 1 or 3, not 2"),
        ({"factory": None, "model": "timm/x", "size": 64}, "c.yaml: backbone: size is for a network of your own; set"),
    ],
)
def test_a_config_that_does_not_fit_is_told(backbone: dict, words: str) -> None:
    with pytest.raises(rb.UserError) as error:
        own(**backbone)
    assert str(error.value).startswith(words)


def test_what_a_config_says_of_the_images() -> None:
    assert own().backbone.preprocessing == {}
    assert own(channels=1).backbone.preprocessing == {"mean": (0.0,), "std": (1.0,)}
    assert own(channels=3, size=64).backbone.preprocessing == {"resize": 64, "crop": 64}
    assert [own(**keys).preprocess for keys in ({}, {"size": 64})] == ["protocol", "model"]
    data = {"backbone": {"factory": "a:b", "size": 64}, "dataset": {"name": "samples"}, "methods": ["cam"]}
    assert parse_config(data | {"preprocess": "protocol"}, "c.yaml").preprocess == "protocol"


def test_names_come_from_the_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("healthy\n very ill \n\n")
    assert read_class_names(str(path)) == ["healthy", "very ill"]
    for text, words in (("a\n\nb\n", "names.txt, line 2 is blank; write a name"), ("", "names.txt, line 1 is blank")):
        path.write_text(text)
        with pytest.raises(rb.UserError, match=words):
            read_class_names(str(path))
    with pytest.raises(rb.UserError, match=r"backbone.class_names: .*none.txt does not exist; give a file with a name"):
        read_class_names(str(tmp_path / "none.txt"))


def test_a_latex_table_compiles_whatever_a_label_holds(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    labels = ["[v2] ours", "50% of $x_1^2", "a & b \\ c", "~#{}", "≥ é", "reciprocam[mask=gaussian]", "<a> | 'b' \"c\""]
    table = pd.DataFrame({"method": labels, "Drop ↓": [f"{i}.00 (1.00)" for i in range(len(labels))]})
    wide = table.assign(**{f"column {i}": "85.00 to 90.00" for i in range(12)})
    marks = pd.DataFrame({"Drop ↓": ["best", "second", *[""] * (len(labels) - 2)]})
    tables = to_latex(table, "my net_1 (é) #2 [x] on folder", "tab:a", marks) + to_latex(wide, "wide", "tab:b")
    head = r"\documentclass{article}\usepackage{booktabs, graphicx}\begin{document}"
    (tmp_path / "t.tex").write_text(f"{head}\n{tables}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-800:]
    assert (tmp_path / "t.pdf").stat().st_size > 0 and "Overfull" not in (tmp_path / "t.log").read_text("latin-1")


@pytest.mark.slow
@pytest.mark.parametrize("protocols", ["torchray-2019", "[poppi-2021, torchray-2019]"])
def test_a_protocol_whose_images_a_network_cannot_take_is_refused_before_anything_is_judged(
    place: Path, protocols: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "from torch import nn\ndef make():\n    convolution = nn.Conv2d(1, 2, 8, stride=8)\n"
    code += "    return nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(2 * 28 * 28, 2))\n"
    (place / "own_fixed_nets.py").write_text(code)  # it takes 224 x 224 pixels alone
    text = (
        CONFIG.replace("own_grey_nets", "own_fixed_nets").replace(", size: 32", "").replace("cam, gradcam", "gradcam")
    )
    (place / "fixed.yaml").write_text(text + f"protocol: {protocols}\n")
    for verb in ("validate", "run"):
        monkeypatch.setattr(sys, "argv", ["rcam-bench", verb, "fixed.yaml"])
        with pytest.raises(SystemExit) as end:
            main()
        error = capsys.readouterr().err.splitlines()[-1]
        assert end.value.code == 2
        assert error.startswith("rcam-bench: protocol torchray-2019: ") and "cannot take images of" in error
    assert not (place / "runs").exists()
