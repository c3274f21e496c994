"""What the network saw of a picture, kept beside its maps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_runs
import torch
from PIL import Image

from reciprocam_bench.backbones.backbone import Preprocessing
from reciprocam_bench.datasets.images import model_geometry, preparation
from reciprocam_bench.engine.drawn_maps import DrawnMaps
from reciprocam_bench.engine.shown_images import as_picture, coarse
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.runfolder.raw_maps import PAGE, drawn_maps, drawn_path


def test_the_view_is_kept_small(tmp_path: Path) -> None:
    picture = Image.new("RGB", (1000, 500), "red")
    picture.paste("blue", (500, 0, 1000, 500))
    DrawnMaps(tmp_path, "p").add_picture("é/a.png", 3, picture, (500.0, 0.0, 1000.0, 500.0))
    with Image.open(drawn_path(tmp_path, "p", "é/a.png", 3).with_suffix(".jpg")) as kept:
        assert kept.size == (160, 160)
        assert np.abs(np.asarray(kept).astype(int) - [0, 0, 254]).max() < 8


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "raw_maps").write_text("a file where the folder should be")
    kept = DrawnMaps(tmp_path, "p", PAGE)
    for keep in (
        lambda: kept.add("a.png", 3, {"cam": torch.ones(2, 2)}),
        lambda: kept.add_picture("a.png", 3, Image.new("RGB", (8, 8))),
    ):
        with pytest.raises(UserError, match="raw_maps is a file, where a folder should be"):
            keep()


@pytest.mark.slow
def test_a_run_keeps_picture_and_maps_of_its_sheets_where_readers_look(pictures: Path, tmp_path: Path) -> None:
    tiny_runs.run(tiny_runs.config(pictures, maps=2), tmp_path / "run")
    table = tiny_runs.table(tmp_path / "run").drop_duplicates("image")
    paths = [drawn_path(tmp_path / "run", "poppi-2021", r.image, int(r["class"])) for _, r in table.iterrows()]
    assert [path.with_suffix(".jpg").exists() for path in paths] == [True, True, False, False, False, False]
    assert drawn_maps(paths[0]).keys() == {"gradcam", "reciprocam"} and drawn_maps(paths[2]) == {}


@pytest.mark.slow
def test_images_without_a_sheet_are_kept_for_the_page(pictures: Path, tmp_path: Path) -> None:
    tiny_runs.run(tiny_runs.config(pictures, maps=2, save_maps=True), tmp_path / "run")
    table = tiny_runs.table(tmp_path / "run").drop_duplicates("image")
    paths = [drawn_path(tmp_path / "run", "poppi-2021", r.image, int(r["class"]), PAGE) for _, r in table.iterrows()]
    assert [path.with_suffix(".jpg").exists() for path in paths] == [False, False, True, True, True, True]
    assert drawn_maps(paths[0]) == {} and drawn_maps(paths[2]).keys() == {"gradcam", "reciprocam"}
    with Image.open(pictures / table["image"].iloc[2]) as given, Image.open(paths[2].with_suffix(".jpg")) as kept:
        small = np.asarray(given.convert("RGB").resize((16, 16), Image.Resampling.BOX)).astype(int)
        assert np.abs(np.asarray(kept.resize((16, 16), Image.Resampling.BOX)).astype(int) - small).mean() < 12


@pytest.mark.slow
def test_a_run_that_draws_nothing_keeps_nothing(pictures: Path, tmp_path: Path) -> None:
    tiny_runs.run(tiny_runs.config(pictures, maps=0), tmp_path / "run")
    assert not (tmp_path / "run/raw_maps").exists()


@pytest.mark.slow
def test_an_image_that_breaks_a_method_takes_no_map_from_the_others_of_its_batch(
    pictures: Path, tmp_path: Path, method: Callable
) -> None:
    inputs: list[torch.Tensor] = []

    def breaks(fp: ForwardPass) -> torch.Tensor:
        inputs.extend(fp.images[:1] if not inputs else [])
        if any(torch.equal(image, inputs[0]) for image in fp.images):
            raise RuntimeError("this image")
        return fp.features.mean(1)

    method("test-breaks", breaks)
    settings = tiny_runs.config(pictures, methods=["gradcam", "test-breaks"], maps=1, batch_size=3)
    tiny_runs.run(settings, tmp_path / "run")
    table = tiny_runs.table(tmp_path / "run").drop_duplicates("image")
    asked = [(r.image, int(r["class"])) for _, r in table.iterrows()]
    kept = [drawn_maps(drawn_path(tmp_path / "run", "poppi-2021", *asked[0]))]
    kept += [drawn_maps(drawn_path(tmp_path / "run", "poppi-2021", *key, PAGE)) for key in asked[1:]]
    assert kept[0].keys() == {"gradcam"}
    assert all(maps.keys() == {"gradcam", "test-breaks"} for maps in kept[1:])


def test_a_map_of_a_page_is_no_finer_than_sixteen_cells() -> None:
    cam = torch.arange(64.0).repeat(32, 1)
    assert coarse(cam).shape == (16, 16)
    assert coarse(cam)[3].tolist() == [4 * i + 1.5 for i in range(16)]
    assert torch.equal(coarse(cam[:7, :7]), cam[:7, :7])


@pytest.mark.parametrize("mean", [(0.5,), (0.4, 0.5, 0.6)])
def test_an_input_is_turned_back_into_its_picture(mean: tuple[float, ...]) -> None:
    model = Preprocessing(mean, tuple(0.2 for _ in mean))
    prepare = preparation(model_geometry(model), model)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8))
    wanted = picture.convert("L") if len(mean) == 1 else picture
    assert np.abs(np.asarray(as_picture(prepare.tensor(picture), prepare)).astype(int) - wanted).max() <= 1
