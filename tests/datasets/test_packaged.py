"""The packaged sample images."""

import importlib.util

import pytest
from PIL import Image

import reciprocam_bench.datasets.packaged as module
from reciprocam_bench.datasets.dataset import Dataset
from reciprocam_bench.datasets.packaged import samples
from reciprocam_bench.errors import UserError


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    if importlib.util.find_spec("foolbox") is None:
        pytest.skip("foolbox is not installed")
    return samples()


def test_twenty_images_whose_labels_are_those_in_their_names(dataset: Dataset) -> None:
    assert len(dataset.samples) == 20
    assert [s.label for s in dataset.samples] == [int(s.path.stem.split("_")[2]) for s in dataset.samples]
    assert dataset.skipped == []
    dataset.require_labels()


def test_boxes_lie_inside_images_of_the_recorded_size(dataset: Dataset) -> None:
    for sample in dataset.samples:
        with Image.open(sample.path) as image:
            assert all(t.drawn_on == image.size for t in sample.targets)
        for box in (b for t in sample.targets for b in t.boxes):
            assert 0 <= box.left < box.right <= image.width, sample.id
            assert 0 <= box.top < box.bottom <= image.height, sample.id
    assert sum(not s.targets for s in dataset.samples) == 1


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"foolbox.* is not installed; pip install foolbox$"):
        samples()
