"""Runs with the oracle: it sees through resize and crop, and is the upper bound of localisation."""

from pathlib import Path

import pytest
import tiny_runs as tiny

from reciprocam_bench.errors import UserError

pytestmark = pytest.mark.slow

METRICS = ["coherency", "pointing_game_mask", "energy_pointing_game", "relevance_rank_accuracy"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCAM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def asked(tmp_path: Path, **changes: object):
    more = {"dataset": {"name": "synthetic", "images": 6}, "classes": "label", "metrics": METRICS}
    return tiny.config(tmp_path, **(more | {"methods": ["gradcam", "oracle", "ones"]} | changes))


def test_it_is_right_through_resize_and_crop(tmp_path: Path) -> None:
    tiny.run(asked(tmp_path), tmp_path / "run")
    rows = tiny.table(tmp_path / "run").set_index("method")
    oracle = rows.loc["oracle"]
    assert len(oracle) == 6 and set(oracle["status"]) == {"ok"}
    values = oracle[METRICS].astype(float)
    # Objects that the crop cut off are not all there; on the 224 pixels the borders are those of 64.
    assert (values["pointing_game_mask"] == 1).all() and (values["coherency"] > 0.999).all()
    assert values["relevance_rank_accuracy"].mean() > 0.85 and values["energy_pointing_game"].mean() > 0.85
    others = rows.drop("oracle")[METRICS[2:]].astype(float)
    assert others.groupby(level=0).mean().max(axis=None) < 0.5


def test_a_batch_is_its_images_one_by_one(tmp_path: Path) -> None:
    for size in (1, 4):
        tiny.run(asked(tmp_path, batch_size=size), tmp_path / str(size))
    alone, together = (tiny.lines(tmp_path / str(size), ",oracle,") for size in (1, 4))
    assert [line.split(",")[9:] for line in alone] == [line.split(",")[9:] for line in together]


def test_a_class_that_is_not_annotated_is_a_row_that_says_so(tmp_path: Path) -> None:
    """A network without weights predicts something else than the label: nothing is known of that class."""
    tiny.run(asked(tmp_path, classes="predicted", metrics=["complexity"]), tmp_path / "run")
    rows = tiny.table(tmp_path / "run")
    wrong = rows[(rows["method"] == "oracle") & (rows["label"] != rows["predicted"].astype(rows["label"].dtype))]
    assert len(wrong) and wrong["status"].str.contains("nothing is annotated for the class explained").all()
    assert (rows.loc[rows["method"] != "oracle", "status"] == "ok").all()


def test_a_data_set_without_annotations_is_told_before_the_run(tmp_path: Path) -> None:
    pictures = tiny.draw_plain(tmp_path / "pictures", 2)
    with pytest.raises(UserError, match=r"^method 'oracle': nothing is annotated in data set 'folder'; leave it out$"):
        tiny.run(tiny.config(pictures, methods=["gradcam", "oracle"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_metrics_that_change_the_image_leave_their_cells_empty(tmp_path: Path) -> None:
    """Where the object lies in a mirrored image is not known to it."""
    tiny.run(asked(tmp_path, metrics=["complexity", "flip_equivariance"]), tmp_path / "run")
    rows = tiny.table(tmp_path / "run").set_index("method").loc["oracle"]
    assert rows["status"].str.startswith("ok; error in flip_equivariance").all()
    assert (rows["flip_equivariance"] == "").all() and (rows["complexity"].astype(float) > 0).all()
