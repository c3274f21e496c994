"""What the network saw of a picture, kept beside its maps."""

from pathlib import Path

import numpy as np
import pytest
import tiny_runs
from PIL import Image

from reciprocam_bench.engine.drawn_maps import DrawnMaps
from reciprocam_bench.runfolder.raw_maps import drawn_maps, drawn_path


def test_the_view_is_kept_small(tmp_path: Path) -> None:
    picture = Image.new("RGB", (1000, 500), "red")
    picture.paste("blue", (500, 0, 1000, 500))
    DrawnMaps(tmp_path, "p").add_picture("é/a.png", 3, picture, (500.0, 0.0, 1000.0, 500.0))
    with Image.open(drawn_path(tmp_path, "p", "é/a.png", 3).with_suffix(".jpg")) as kept:
        assert kept.size == (160, 160)
        assert np.abs(np.asarray(kept).astype(int) - [0, 0, 254]).max() < 8


@pytest.mark.slow
def test_a_run_keeps_picture_and_maps_of_its_sheets_where_readers_look(pictures: Path, tmp_path: Path) -> None:
    tiny_runs.run(tiny_runs.config(pictures, maps=2), tmp_path / "run")
    table = tiny_runs.table(tmp_path / "run").drop_duplicates("image")
    paths = [drawn_path(tmp_path / "run", "poppi-2021", r.image, int(r["class"])) for _, r in table.iterrows()]
    assert [path.with_suffix(".jpg").exists() for path in paths] == [True, True, False, False, False, False]
    assert drawn_maps(paths[0]).keys() == {"gradcam", "reciprocam"} and drawn_maps(paths[2]) == {}
