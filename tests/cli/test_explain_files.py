"""``rcam-bench explain``: which files it takes, what it leaves out, and what it may not replace."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from explained_inputs import NET, draw
from PIL import ExifTags, Image

from reciprocam_bench.engine.explained import find_images, output_names

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("loaded_once")]

Cli = Callable[..., tuple[int, list[str], str]]


def test_a_folder_with_what_cannot_be_read_left_out(cli: Cli, picture: Path, tmp_path: Path) -> None:
    for name in ("a/1.png", "a/b/2.jpg", "a/b/1.png"):
        draw(tmp_path / name)
    (tmp_path / "a/broken.png").write_text("no image")
    (tmp_path / "a/notes.txt").write_text("no image")
    code, out, err = cli("a", "-m", "timm/test_resnet", "--method", "gradcam")
    assert code == 0
    assert err == "note: left out: a/broken.png: unreadable image: of no format that Pillow knows\n"
    assert [line for line in out if line.endswith(":")] == ["a/1.png:", "a/b/1.png:", "a/b/2.jpg:"]
    sheets = sorted(p.name for p in Path("explained").glob("*_sheet.png"))
    assert sheets == ["2_sheet.png", "a_1.png_sheet.png", "a_b_1.png_sheet.png"]
    assert out[-1] == "explained/figure.png"
    _, out, _ = cli("a", "-m", "timm/test_resnet", "--method", "gradcam", "--json")
    found = json.loads("\n".join(out))
    reason = "unreadable image: of no format that Pillow knows"
    assert (found["left_out"], len(found["images"])) == ([{"image": "a/broken.png", "reason": reason}], 3)
    one, all_ = Image.open("explained/2_sheet.png"), Image.open("explained/figure.png")
    assert all_.height > 2 * one.height


def test_pictures_that_cannot_be_prepared_are_a_mistake_too(cli: Cli, picture: Path, tmp_path: Path) -> None:
    Image.new("L", (1, 30_000)).save(tmp_path / "thin.png")
    code, out, err = cli("thin.png", "-m", "timm/test_resnet", "--method", "gradcam")
    assert (code, out) == (2, []) and "rcam-bench: thin.png: extreme sides: 1 x 30000 pixels would become" in err


def test_nothing_that_can_be_read_is_a_mistake(cli: Cli, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    model = ("-m", "timm/test_resnet")
    assert cli("a", *model) == (2, [], "rcam-bench: a holds no image; give an image file\n")
    for name in "12":
        (tmp_path / f"a/{name}.png").write_text("no image")
    code, out, err = cli("a", *model)
    assert (code, out) == (2, [])
    assert err == (
        "rcam-bench: none of 2 images can be read (a/1.png: unreadable image: of no format that Pillow knows, ...); "
        "give image files\n"
    )
    assert not Path("explained").exists()


def test_several_images_and_one_that_is_missing(cli: Cli, picture: Path, tmp_path: Path) -> None:
    draw(tmp_path / "b.png")
    code, out, err = cli(picture, "nowhere.png", "b.png", "-m", "timm/test_resnet", "--method", "gradcam")
    assert (code, err) == (0, "note: left out: nowhere.png: does not exist\n")
    assert out[-1] == "explained/figure.png"


def test_output_files_of_different_images_have_different_names(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("x/a.png", "x/a.jpg", "y/a.png", "y/b.png")]
    for path in paths:
        draw(path)
    draw(tmp_path / "y/out/a_sheet.png")
    files, left_out = find_images([tmp_path / "x", tmp_path / "y", tmp_path / "y/b.png"], tmp_path / "y/out")
    assert (sorted(files), left_out) == (sorted(paths), [])
    names = output_names(paths)
    assert names[tmp_path / "x/a.jpg"] == "a.jpg" and names[tmp_path / "y/b.png"] == "b"
    assert names[tmp_path / "x/a.png"].endswith("x_a.png") and names[tmp_path / "y/a.png"].endswith("y_a.png")
    assert len(set(names.values())) == 4
    deep = [Path(f"{top}/p/q/a.png") for top in "xy"]
    assert list(output_names(deep).values()) == ["000_p_q_a.png", "001_p_q_a.png"]


@pytest.mark.parametrize(
    "given, output", [(".", "out"), ("pictures", "."), ("pictures", "out"), ("pictures", "pictures/x")]
)
def test_output_may_lie_above_the_folder_of_the_images_or_in_it(
    given: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "pictures/a.png")
    draw(tmp_path / output / "b_sheet.png")
    files, left_out = find_images([Path(given)], Path(output))
    assert ([path.name for path in files], left_out) == (["a.png"], [])


def test_output_among_the_images_is_refused(cli: Cli, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for folder in (tmp_path, tmp_path / "x/.."):
        code, out, err = cli(folder, "-m", "timm/test_resnet", "--output", ".")
        assert (code, out) == (2, [])
        assert err == "rcam-bench: --output . is the folder of the images, which it would mix with; give another\n"
    assert {path.name for path in tmp_path.iterdir()} == {picture.name, "x"}


REPLACED = {"my dog ü.v2_gradcam.png": True, "figure.png": True, "figure_2.png": True, "my dog ü.v2_sheet.png": True}
REPLACED |= {"my dog ü.v2_2.png": False, "figure_skater.png": False, "figure.jpg": False, "my dog ü.v2_map.png": False}


@pytest.mark.parametrize("other", REPLACED)
def test_no_image_is_replaced_by_a_picture_that_is_written(cli: Cli, picture: Path, other: str) -> None:
    second = draw(picture.parent / other)
    before = second.read_bytes()
    code, _, err = cli(picture, second, "--model", "torchvision/resnet18", "--method", "gradcam", "-o", ".")
    assert second.read_bytes() == before and code == (2 if REPLACED[other] else 0)
    told = f"{other} would be replaced by a picture that is written there; give another --output\n"
    assert err.endswith(told) == REPLACED[other]


def test_no_image_elsewhere_is_replaced_through_a_link(cli: Cli, picture: Path, tmp_path: Path) -> None:
    there, written = draw(tmp_path / "kept" / "b.png"), "my dog ü.v2_gradcam.png"
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / written).symlink_to(there)
    words = ["--model", "torchvision/resnet18", "--method", "gradcam", "-o", "o"]
    assert cli(picture, tmp_path / "o" / written, *words)[0] == 2 and Image.open(there).size == (60, 40)
    (tmp_path / "o" / written).unlink()
    there.rename(tmp_path / "o" / written)
    (tmp_path / "x.png").symlink_to(tmp_path / "o" / written)
    assert cli(picture, tmp_path / "x.png", *words)[0] == 2


def test_a_picture_that_the_network_gives_no_probabilities_is_left_out(
    cli: Cli, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Standardised by its deviation, as some pipelines do; that of a black picture is 0.
    divided = NET.replace("self.stem(x)", "self.stem(x / x.flatten(2).std(2)[..., None, None])")
    (tmp_path / "own_nan.py").write_text(divided)
    monkeypatch.syspath_prepend(str(tmp_path))
    Image.new("RGB", (32, 32), "black").save(tmp_path / "black.png")
    words = ["--factory", "own_nan:make", "--layer", "stem", "--method", "gradcam"]
    code, out, err = cli("black.png", picture, *words, "--json")
    reason = "the network's logits are NaN or infinite for it"
    found = json.loads("\n".join(out), parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert code == 0 and found["left_out"] == [{"image": "black.png", "reason": reason}] and len(found["images"]) == 1
    code, _, err = cli("black.png", *words, "-o", "alone")
    told = f"rcam-bench: black.png: {reason}; check its weights, preprocessing and precision"
    assert code == 2 and err.splitlines()[-1] == told


def test_stretched_pictures_are_counted(cli: Cli, picture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "grey"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.arange(48 * 48, dtype=np.uint16).reshape(48, 48) + i).save(folder / f"{i}.png")
    code, _, err = cli(folder, "--model", "torchvision/resnet18", "--method", "gradcam")
    assert code == 0 and err.count("stretched") == 1 and "note: 3 images of mode I;16 stretched" in err


def test_a_photograph_is_turned_upright_and_that_is_told(cli: Cli, picture: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    with Image.open(picture) as stored:
        stored.save("turned.png", exif=exif)
    code, out, err = cli("turned.png", "-m", "timm/test_resnet", "--method", "gradcam", "--json")
    told = "pictures were turned upright, as their EXIF says; a run takes pixels as they are stored (docs/datasets.md)"
    found = json.loads("\n".join(out))
    assert (code, err, found["notes"][1:]) == (0, f"note: {told}\n", [told])
    assert found["images"][0]["size"] == [40, 60]
    with Image.open("explained/turned_gradcam.png") as drawn:
        assert drawn.size == (40, 60)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_pictures_of_other_modes(cli: Cli, tmp_path: Path, picture: Path, mode: str) -> None:
    path = tmp_path / ("other.jpg" if mode == "CMYK" else "other.png")
    Image.open(picture).convert("L" if mode == "I;16" else "RGB").convert(mode).save(path)
    code, _, err = cli(path, "-m", "timm/test_resnet", "--method", "gradcam")
    assert (code, "1 image of mode I;16 stretched" in err) == (0, mode == "I;16")


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (500, 8)])
def test_pictures_of_odd_sizes(cli: Cli, tmp_path: Path, picture: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (200, 10, 10)).save(tmp_path / "odd.png")
    code, out, _ = cli(tmp_path / "odd.png", "-m", "timm/test_resnet", "--method", "gradcam")
    assert code == 0 and Image.open(out[2]).size == size


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_image_is_a_mistake(cli: Cli, picture: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    code, _, err = cli(path, "-m", "timm/test_resnet")
    assert code == 2 and err.endswith("; give an image file\n")
    assert ("broken.png: unreadable image: " if content is not None else "broken.png does not exist;") in err
