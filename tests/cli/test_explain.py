"""``rcam-bench explain``: pictures and folders, any network, overlays, sheets, scores."""

import dataclasses
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from explained_inputs import NET, RANDOM, draw
from PIL import Image

from reciprocam_bench.cli import main
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import EXPLAINERS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("loaded_once")]

Cli = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(fp: ForwardPass) -> torch.Tensor:
        raise RuntimeError("no\nluck")

    EXPLAINERS.all()
    monkeypatch.setitem(EXPLAINERS._specs, "layercam", dataclasses.replace(EXPLAINERS.get("layercam"), function=fails))


def test_overlays_of_the_whole_picture_and_a_sheet(cli: Cli, picture: Path) -> None:
    code, out, err = cli(picture, "--model", "timm/test_resnet")
    assert (code, err) == (0, "")
    names = [f"explained/my dog ü.v2_{part}.png" for part in ("gradcam", "reciprocam", "sheet")]
    assert out[0].startswith("explained: ")
    assert out[1].startswith("top 5: ") and out[1].count(", ") == 4
    assert out[2:] == names
    assert [Image.open(name).size for name in names[:2]] == [(60, 40)] * 2
    with Image.open(names[2]) as sheet:
        assert sheet.width == 1110 and len(sheet.convert("RGB").getcolors(1 << 24)) > 100


def test_random_weights_are_told(cli: Cli, picture: Path, capsys: pytest.CaptureFixture) -> None:
    sys.argv = ["rcam-bench", "explain", str(picture), "-m", "timm/test_resnet", "--weights", "none", "--device", "cpu"]
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == RANDOM


def test_the_heat_lies_where_the_network_looked_and_the_rest_is_the_plain_picture(cli: Cli, picture: Path) -> None:
    cli(picture, "-m", "timm/test_resnet", "--method", "gradcam", "-o", "out")
    shown = np.asarray(Image.open("out/my dog ü.v2_gradcam.png").convert("RGB"), dtype=float)
    plain = np.asarray(Image.open(picture), dtype=float)
    # The shorter side becomes 168 and the crop is 160: it lies within the middle 40 columns.
    assert (shown[:, :10] == plain[:, :10]).all() and (shown[:, 50:] == plain[:, 50:]).all()
    heat = shown[:, 10:50] - 0.45 * plain[:, 10:50]
    assert heat.min() > -2 and heat.max() < 0.55 * 255 + 2
    assert heat.std() > 10


def test_methods_class_layer_and_output(cli: Cli, picture: Path) -> None:
    words = ("--method", "cam", "--method", "gradcam", "--class", 7, "--layer", "layer3", "-o", "a b/ç")
    code, out, err = cli(picture, "-m", "timm/test_resnet", *words)
    assert code == 2
    assert "cam" in err
    code, out, _ = cli(picture, "-m", "timm/test_resnet", *words[2:])
    assert code == 0
    assert out[0].startswith("explained: cock (p = ")
    assert ", predicted: " in out[0]
    assert out[2:] == [f"a b/ç/my dog ü.v2_{part}.png" for part in ("gradcam", "sheet")]


def test_several_classes_by_index_and_name(cli: Cli, picture: Path) -> None:
    words = ("--method", "gradcam", "--class", 7, "--class", "Tabby Cat", "--class", "cock")
    code, out, _ = cli(picture, "-m", "timm/test_resnet", *words)
    assert code == 0
    assert [line.partition(" (p = ")[0] for line in out[:2]] == ["explained: cock", "explained: tabby"]
    assert out[3:] == [f"explained/my dog ü.v2_{n}.png" for n in ("7_cock_gradcam", "281_tabby_gradcam", "sheet")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tabbi", "--class 'tabbi': no class is called so; did you mean 'tabby'?"),
        ("crane", "--class 'crane': 2 classes are called so; give an index: [134, 517]"),
        ("1000", "--class 1000: the network has classes 0 to 999"),
    ],
)
def test_a_class_that_there_is_not(cli: Cli, picture: Path, name: str, message: str) -> None:
    assert cli(picture, "-m", "timm/test_resnet", "--class", name) == (2, [], f"rcam-bench: {message}\n")


def test_the_same_method_twice_is_drawn_once(cli: Cli, picture: Path) -> None:
    code, out, _ = cli(picture, "-m", "timm/test_resnet", "--method", "gradcam", "--method", "gradcam")
    assert (code, len(out)) == (0, 4)


def test_a_method_with_options(cli: Cli, picture: Path) -> None:
    code, out, _ = cli(picture, "-m", "timm/test_resnet", "--method", "reciprocam[mask=gaussian]")
    assert (code, out[2]) == (0, "explained/my dog ü.v2_reciprocam-mask-gaussian.png")
    code, _, err = cli(picture, "-m", "timm/test_resnet", "--method", "reciprocam[mask=round]")
    assert code == 2 and err.startswith("rcam-bench: method 'reciprocam': option 'mask': ")


def test_all_methods_that_the_network_can_do(
    cli: Cli, picture: Path, monkeypatch: pytest.MonkeyPatch, failing: None
) -> None:
    few = {name: EXPLAINERS.get(name) for name in ("cam", "gradcam", "layercam", "eigencam", "vitreciprocam")}
    monkeypatch.setattr(EXPLAINERS, "all", lambda: few)
    code, out, err = cli(picture, "-m", "timm/test_resnet", "--layer", "layer3", "--method", "all")
    assert code == 0
    assert [Path(name).stem.rpartition("_")[2] for name in out[2:]] == ["gradcam", "eigencam", "sheet"]
    left_out, counted = err.splitlines()[:-2], err.splitlines()[-2]
    assert left_out[0].startswith("note: left out: method 'cam': ")
    assert left_out[1].startswith("note: left out: method 'vitreciprocam': ")
    assert counted.startswith("note: 3 methods, about ") and counted.endswith(" forward passes an image and class")
    assert err.splitlines()[-1] == "note: left out: method 'layercam' failed: RuntimeError: no luck"
    # One that is named beside them must work.
    code, _, err = cli(picture, "-m", "timm/test_resnet", "--layer", "layer3", "--method", "all", "--method", "cam")
    assert code == 2 and "rcam-bench: method 'cam': " in err


def test_methods_whose_labels_come_to_one_file_name_have_files_of_their_own(cli: Cli, picture: Path) -> None:
    methods = "methods=[{name: gradcam, label: a b}, {name: reciprocam, label: a-b}, {name: layercam, label: sheet}]"
    code, out, err = cli(picture, "-m", "timm/test_resnet", "--set", methods, "--json")
    found = json.loads("\n".join(out))["images"][0]
    files = [file for cam in found["maps"] for file in cam["files"]] + found["files"]
    assert (code, err, len(set(files))) == (0, "", 4)
    assert all(Path(file).is_file() for file in files)


def test_a_network_of_ones_own_with_names_and_options(cli: Cli, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "explain_net.py").write_text(NET)
    Path("names.txt").write_text("cat\ndog\nred fox\nowl\n")
    factory = ("--factory", "explain_net:make", "--set", "backbone.options.outputs=4")
    code, out, err = cli(picture, *factory, "--class-names", "names.txt", "--class", "red fox", "--method", "cam")
    assert (code, err) == (0, "")
    assert out[0].startswith("explained: red fox (p = ")
    assert out[1].startswith("top 4: ") and all(name in out[1] for name in ("cat", "dog", "red fox", "owl"))
    code, out, _ = cli(picture, *factory[:2], "--method", "cam", "--class", "1")
    assert code == 0 and out[0].startswith("explained: class 1 (p = ")
    code, _, err = cli(picture, *factory[:2], "--class-names", "names.txt")
    assert (code, err) == (2, "rcam-bench: explain_net:make: class_names has 4 names for 3 outputs\n")


def test_a_config_gives_network_methods_preprocessing_and_names(cli: Cli, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "explain_net.py").write_text(NET)
    (tmp_path / "VOC2007/JPEGImages").mkdir(parents=True)
    for folder in ("Annotations", "ImageSets/Main"):
        (tmp_path / "VOC2007" / folder).mkdir(parents=True)
    draw(tmp_path / "VOC2007/JPEGImages/a.jpg")
    (tmp_path / "VOC2007/ImageSets/Main/test.txt").write_text("a")
    box = "<bndbox><xmin>1</xmin><ymin>11</ymin><xmax>30</xmax><ymax>20</ymax></bndbox>"
    size = "<size><width>60</width><height>40</height></size>"
    (tmp_path / "VOC2007/Annotations/a.xml").write_text(f"<a>{size}<object><name>dog</name>{box}</object></a>")
    config = {
        "backbone": {"factory": "explain_net:make", "options": {"outputs": 20}},
        "dataset": {"name": "voc", "root": str(tmp_path)},
        "protocol": "recipro-2024",
        "methods": ["gradcam", {"name": "reciprocam", "mask": "gaussian"}],
        "timing": {"relative_to": "gradcam"},
    }
    Path("own.yaml").write_text(yaml.safe_dump(config))
    code, out, err = cli(picture, "-c", "own", "--class", "dog", "--json")
    assert (code, err) == (0, "")
    found = json.loads("\n".join(out))
    (record,) = found["images"]
    assert [m["method"] for m in record["maps"]] == ["gradcam", "reciprocam[mask=gaussian]"]
    assert {m["name"] for m in record["maps"]} == {"dog"}
    # Both sides become 256 there and the middle 224 are seen, so that little of the sides is plain.
    shown = np.asarray(Image.open(record["maps"][0]["files"][0])) != np.asarray(Image.open(picture))
    columns = np.flatnonzero(shown.any((0, 2)))
    assert (columns.min(), columns.max()) == (4, 55)
    config["dataset"] = {"name": "voc", "root": "${RCAM_NOWHERE}"}
    Path("own.yaml").write_text(yaml.safe_dump(config))
    code, out, err = cli(picture, "-c", "own", "--method", "cam")
    assert code == 0 and "class " in out[0]
    assert "note: classes have no names: ${RCAM_NOWHERE}: the environment variable RCAM_NOWHERE is not set" in err


@pytest.mark.parametrize("words", [(), ("-m", "timm/test_resnet", "-c", "quickstart")])
def test_the_network_is_named_once(cli: Cli, picture: Path, words: tuple) -> None:
    message = "rcam-bench: explain: say which network, with one of --model, --factory and --config\n"
    assert cli(picture, *words) == (2, [], message)


def test_json_says_what_was_found_and_written(cli: Cli, picture: Path) -> None:
    words = ("--method", "gradcam", "--method", "reciprocam", "--class", 7, "--class", 8, "--metric", "adcc", "--maps")
    code, out, err = cli(picture, "-m", "timm/test_resnet", "--json", *words)
    assert (code, err) == (0, "")
    found = json.loads("\n".join(out))
    (record,) = found["images"]
    assert (record["image"], record["size"], found["left_out"], found["failed"]) == (str(picture), [60, 40], [], {})
    assert [c["probability"] for c in record["top"]] == sorted((c["probability"] for c in record["top"]), reverse=True)
    assert [(m["class"], m["name"], m["method"]) for m in record["maps"]] == [
        (7, "cock", "gradcam"), (7, "cock", "reciprocam"), (8, "hen", "gradcam"), (8, "hen", "reciprocam"),
    ]  # fmt: skip
    for cam in record["maps"]:
        assert 0 < cam["probability"] < 1 and cam["seconds"] > 0
        with Image.open(cam["files"][1]) as alone:  # the peak is where the heat is least transparent
            opaque = np.asarray(alone)[..., 3]
        assert (cam["peak"] is None) == (cam["status"] == "constant")
        if cam["peak"]:
            assert opaque[int(cam["peak"][1]), int(cam["peak"][0])] == opaque.max() > 200
        assert set(cam["scores"]) == {"average_drop", "coherency", "complexity", "adcc"}
        assert all(0 <= value <= 1 for value in cam["scores"].values()) or cam["status"] != "ok"
        assert all(Path(file).is_file() for file in cam["files"]) and len(cam["files"]) == 2
        with Image.open(cam["files"][1]) as alone:
            assert (alone.mode, alone.size) == ("RGBA", (60, 40))
            assert alone.getpixel((2, 20))[3] == 0  # outside what the network saw
    assert any(cam["peak"] for cam in record["maps"])
    assert record["files"] == ["explained/my dog ü.v2_sheet.png"] and Path(record["files"][0]).is_file()


def test_formats_resolution_colours_and_opacity(cli: Cli, picture: Path) -> None:
    words = ("--method", "gradcam", "-f", "pdf", "-f", "svg", "--dpi", 60, "--colormap", "gray", "--alpha", 1)
    code, out, _ = cli(picture, "-m", "timm/test_resnet", *words)
    assert code == 0 and [Path(name).suffix for name in out[2:]] == [".png", ".pdf", ".svg"]
    svg = Path(out[4]).read_text("utf-8")
    assert re.search(r"Drop ↓ \d+\.\d %, Complexity ↓ \d+\.\d % -->", svg) and re.search(r"\b\d[\d.]* m?s -->", svg)
    seen = np.asarray(Image.open(out[2]))[2:38, 12:48]
    assert (seen == seen[..., :1]).all() and seen.min() < 10 and seen.max() > 245


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--colormap", "jett"), "--colormap: unknown colour map 'jett'; did you mean 'jet'?"),
        (("--alpha", 2), "explain: pictures.alpha: Input should be less than or equal to 1, not 2"),
        (("--format", "gif"), "explain: pictures.formats.0: Input should be 'png', 'pdf' or 'svg', not 'gif'"),
        (("--dpi", 3), "explain: pictures.dpi: Input should be greater than or equal to 30, not 3"),
        (("--metric", "pointing_game"), "--metric pointing_game: it needs annotated objects; rcam-bench run "),
        (("--metric", "insertion_curve"), "--metric insertion_curve: it has 21 values an image, not one"),
        (("--metric", "adc"), "unknown metric 'adc'; did you mean 'adcc'?"),
        (("--method", "gradcm"), "unknown method 'gradcm'; did you mean 'gradcam'?"),
    ],
)  # fmt: skip
def test_options_that_are_wrong(cli: Cli, picture: Path, words: tuple, message: str) -> None:
    code, out, err = cli(picture, "-m", "timm/test_resnet", *words)
    assert (code, out) == (2, []) and err.startswith(f"rcam-bench: {message}")
    assert not Path("explained").exists()


def test_at_the_image_the_network_is_only_called(cli: Cli, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "explain_net.py").write_text(NET)
    code, out, _ = cli(picture, "--factory", "explain_net:make", "--layer", "image")
    assert code == 0 and out[2].endswith("_blackboxreciprocam.png")


def test_one_methods_failure_leaves_the_pictures_of_the_others(cli: Cli, picture: Path, failing: None) -> None:
    code, out, err = cli(picture, "-m", "timm/test_resnet", "--method", "layercam", "--method", "gradcam", "-o", "o")
    assert (code, len(out)) == (2, 4)
    assert err == ("rcam-bench: method 'layercam' failed: RuntimeError: no luck; the pictures of the others are in o\n")
    assert sorted(p.name.rpartition("_")[2] for p in Path("o").iterdir()) == ["gradcam.png", "sheet.png"]
    code, _, err = cli(picture, "-m", "timm/test_resnet", "--method", "layercam", "-o", "none")
    assert (code, err) == (2, "rcam-bench: method 'layercam' failed: RuntimeError: no luck\n")
    assert list(Path("none").iterdir()) == []
