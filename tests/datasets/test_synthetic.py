"""Drawn pictures: the truth is what the pixels show, and a picture depends on its seed and number alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reciprocam_bench.config import DatasetConfig
from reciprocam_bench.datasets import shapes
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.datasets.shapes import SHAPES, draw
from reciprocam_bench.datasets.synthetic import synthetic
from reciprocam_bench.datasets.targets import object_mask
from reciprocam_bench.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RCAM_CACHE_DIR", str(tmp_path))
    return tmp_path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def test_the_truth_is_where_the_pixels_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same picture without its shape differs in the evidence alone: nothing else tells the class."""
    drawn = [draw(index, 0) for index in range(40)]
    nothing = {name: lambda u, v: np.zeros(np.broadcast_shapes(u.shape, v.shape), bool) for name in SHAPES}
    monkeypatch.setattr(shapes, "SHAPES", nothing)
    for index, drawing in enumerate(drawn):
        without = draw(index, 0)
        changed = (drawing.pixels != without.pixels).any(-1)
        assert not (changed & ~drawing.evidence).any()
        assert changed.sum() > 0.95 * drawing.evidence.sum()  # a clipped value may be as it was
        assert (drawing.distractor == without.distractor).all()


def test_objects_are_whole_apart_and_of_their_size() -> None:
    for drawing in (draw(index, 3) for index in range(80)):
        for mask in (drawing.evidence, drawing.distractor):
            down, across = np.nonzero(mask)
            assert 8 <= max(np.ptp(down), np.ptp(across)) + 1 <= 29
            assert not mask[[0, -1]].all() and mask.sum() > 40
        grown = np.zeros((66, 66), bool)
        for y in range(3):
            for x in range(3):
                grown[y : y + 64, x : x + 64] |= drawing.evidence
        assert not (grown[1:-1, 1:-1] & drawing.distractor).any()


def test_every_shape_has_a_form_of_its_own() -> None:
    u, v = np.meshgrid(np.linspace(-1, 1, 81), np.linspace(-1, 1, 81))
    drawn = [inside(u, v) for inside in (*SHAPES.values(), shapes.star)]
    for i, one in enumerate(drawn):
        assert not (one & (np.hypot(u, v) > 1.02)).any()
        for other in drawn[:i]:
            assert (one != other).mean() > 0.05


def test_a_picture_depends_on_seed_and_number_alone() -> None:
    few, many, other = (synthetic(images=n, seed=s) for n, s in ((9, 0), (20, 0), (9, 1)))
    for a, b, c in zip(few.samples, many.samples, other.samples, strict=False):
        assert (a.id, a.label, a.targets) == (b.id, b.label, b.targets)
        assert (pixels(a.path) == pixels(b.path)).all() and (pixels(a.path) != pixels(c.path)).any()
    assert (draw(5, 0).pixels != draw(5, 0, "train").pixels).any()


def test_box_mask_and_label_are_the_drawings() -> None:
    found = synthetic(images=16, seed=2)
    assert found.categories == tuple(SHAPES) and not found.skipped
    for index, sample in enumerate(found.samples):
        drawing, (target,) = draw(index, 2), sample.targets
        assert (pixels(sample.path) == drawing.pixels).all()
        assert sample.label == target.index == drawing.label == index % 8
        assert target.category == list(SHAPES)[index % 8]
        assert (object_mask(target, 64, 64) == drawing.evidence).all()
        down, across = np.nonzero(drawing.evidence)
        (box,) = target.boxes
        assert (box.left, box.top) == (across.min(), down.min())
        assert (box.right, box.bottom) == (across.max() + 1, down.max() + 1)


def test_it_is_written_once_and_options_do_not_mix(cache: Path) -> None:
    first = synthetic(images=4)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*.*")}
    assert synthetic(images=4) == first
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.*")} == before
    synthetic(images=4, seed=1)
    assert len(list((cache / "synthetic").iterdir())) == 2


@pytest.mark.parametrize("text", ["", "[]", '{"00000.png": {"label": 0}}', '{"00000.png": 7}'])
def test_damage_is_told(text: str) -> None:
    truth = synthetic(images=4).samples[0].path.parent / "truth.json"
    truth.write_text(text)
    with pytest.raises(UserError, match=r"truth.json is damaged; delete .*synthetic/v1-seed0-4, it is made again$"):
        synthetic(images=4)


def test_a_config_names_it() -> None:
    found = load_dataset(DatasetConfig.model_validate({"name": "synthetic", "images": 32}), limit=8)
    assert sorted(s.label for s in found.samples) == list(range(8)) and found.beyond_limit == 24
    with pytest.raises(UserError, match="dataset 'synthetic': option 'images'"):
        load_dataset(DatasetConfig.model_validate({"name": "synthetic", "images": 0}))
