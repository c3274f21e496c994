"""COCO instances files made by hand, and the real subset against pycocotools."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from reciprocam_bench.config import DatasetConfig
from reciprocam_bench.datasets.coco import coco
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.datasets.targets import area_share, object_mask
from reciprocam_bench.errors import UserError

SQUARE = [[10, 10, 30, 10, 30, 20, 10, 20]]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2014").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "val2014" / "a.jpg")

    def write(annotations, images=({"id": 1, "file_name": "a.jpg", "width": 60, "height": 40},)):
        fixed = {"image_id": 1, "iscrowd": 0, "area": 1}
        content = {
            "images": list(images),
            "annotations": [{"id": i, **fixed, **a} for i, a in enumerate(annotations, 1)],
            "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        }
        (tmp_path / "annotations/instances_val2014.json").write_text(json.dumps(content))
        return coco(root=str(tmp_path))

    write.root = tmp_path
    return write


def test_polygons_become_masks_and_categories_are_ordered_by_id(root):
    dataset = root([{"category_id": 18, "segmentation": SQUARE, "bbox": [10, 10, 20, 10]}])
    assert dataset.name == "coco-val2014" and dataset.categories == ("person", "dog")
    (target,) = dataset.samples[0].targets
    assert (target.category, target.index) == ("dog", 1)
    mask = object_mask(target, 60, 40)
    assert mask.sum() == 200 and mask[10:20, 10:30].all()
    assert area_share(target) == pytest.approx(200 / 2400)


def test_crowd_run_lengths_join_the_mask(root):
    # The lowest ten of forty rows: 30 pixels off, 10 on, for each of 60 columns.
    rle = {"size": [40, 60], "counts": [30, 10] * 60}
    dataset = root(
        [
            {"category_id": 1, "segmentation": SQUARE, "bbox": [10, 10, 20, 10]},
            {"category_id": 1, "segmentation": rle, "bbox": [0, 30, 60, 10], "iscrowd": 1},
        ]
    )
    mask = object_mask(dataset.samples[0].targets[0], 60, 40)
    assert mask.sum() == 200 + 600 and mask[30:].all()


def test_unusable_annotations_and_images_are_listed(root):
    images = [
        {"id": 1, "file_name": "a.jpg", "width": 60, "height": 40},
        {"id": 2, "file_name": "gone.jpg", "width": 60, "height": 40},
    ]
    dataset = root(
        [
            {"category_id": 99, "segmentation": SQUARE, "bbox": [10, 10, 20, 10]},
            {"category_id": 18, "segmentation": SQUARE, "bbox": [10, 10, 0, 0]},
            {"category_id": 1, "segmentation": SQUARE},
        ],
        images,
    )
    assert dataset.samples[0].targets == ()
    reasons = [reason for _, reason in dataset.skipped]
    assert any("99" in r for r in reasons) and any("no area" in r for r in reasons)
    assert any("'person'" in r and "bbox" in r for r in reasons)
    assert ("gone.jpg", "listed, but the image file does not exist") in dataset.skipped


def test_a_pipe_is_never_opened(root, make_pipe):
    make_pipe(root.root / "val2014/pipe.jpg")
    dataset = root([], [{"id": 1, "file_name": "pipe.jpg", "width": 60, "height": 40}])
    reason = "listed, but the image file is no regular file (a pipe, socket or device)"
    assert (dataset.samples, dataset.skipped) == ([], [("pipe.jpg", reason)])
    make_pipe(root.root / "pipe.json")
    with pytest.raises(UserError, match=r"pipe\.json is no regular file .*; set dataset\.annotations"):
        coco(root=str(root.root), annotations="pipe.json")


@pytest.mark.parametrize(
    "segmentation", [[[1, 2]], {"size": [10, 10], "counts": [0, 100]}, {"size": [40, 60], "counts": [0, 5000]}]
)
def test_a_broken_mask_is_listed_and_spoils_nothing_else(root, segmentation):
    good = {"category_id": 1, "segmentation": SQUARE, "bbox": [10, 10, 20, 10]}
    dataset = root([good, {"category_id": 18, "segmentation": segmentation, "bbox": [1, 1, 9, 9]}])
    assert [t.category for t in dataset.samples[0].targets] == ["person"]
    assert any("'dog'" in reason for _, reason in dataset.skipped)


NO_IDS = '{"images": [{"file_name": "a.jpg"}], "annotations": [], "categories": []}'
NO_SIZE = '{"images": [{"id": 1}], "annotations": [], "categories": []}'


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", '{"annotations": []}', NO_IDS, NO_SIZE])
def test_a_file_that_is_no_instances_file_is_named(root, text):
    (root.root / "annotations/instances_val2014.json").write_text(text)
    with pytest.raises(UserError, match=r"instances_val2014\.json"):
        coco(root=str(root.root))


def test_a_missing_file_or_folder_says_what_to_set(root, tmp_path):
    with pytest.raises(UserError, match=r"set dataset\.annotations"):
        coco(root=str(tmp_path), annotations="annotations/other.json")
    root([])
    (tmp_path / "val2014").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"set dataset\.images"):
        coco(root=str(tmp_path))
    assert len(coco(root=str(tmp_path), images="elsewhere").samples) == 1


def test_real_masks_are_the_union_that_pycocotools_draws(data):
    path = data / "coco/annotations/instances_val2017.json"
    dataset = coco(root=str(data / "coco"), annotations="annotations/instances_val2017.json")
    assert dataset.name == "coco-val2017" and len(dataset.samples) == 25 and len(dataset.categories) == 80
    api = COCO(str(path))
    by_name = {record["file_name"]: record["id"] for record in api.loadImgs(api.getImgIds())}
    ids = {c["name"]: c["id"] for c in api.loadCats(api.getCatIds())}
    for sample in dataset.samples[:8]:
        for target in sample.targets:
            found = api.loadAnns(api.getAnnIds(imgIds=[by_name[sample.id]], catIds=[ids[target.category]]))
            union = np.any([api.annToMask(a) for a in found], axis=0)
            assert (object_mask(target, *target.drawn_on) == union).all()


def test_on_a_resized_copy_a_mask_is_no_box(root):
    triangle = [[0, 0, 60, 0, 0, 40]]
    dataset = root([{"category_id": 18, "segmentation": triangle, "bbox": [0, 0, 60, 40]}])
    target = dataset.samples[0].targets[0]
    whole = object_mask(target, 60, 40)
    assert 0.4 < whole.mean() < 0.6
    assert (object_mask(target, 120, 80) == whole.repeat(2, 0).repeat(2, 1)).all()
    smaller = object_mask(target, 20, 10)
    assert smaller.shape == (10, 20) and (smaller == whole[2::4, 1::3]).all()


def test_an_image_that_is_listed_twice_counts_once(root):
    one = {"file_name": "a.jpg", "width": 60, "height": 40}
    root([{"category_id": 1, "segmentation": SQUARE, "bbox": [10, 10, 20, 10]}], [{"id": 1, **one}, {"id": 2, **one}])
    found = load_dataset(DatasetConfig(name="coco", root=str(root.root)))
    assert [s.id for s in found.samples] == ["a.jpg"] and found.samples[0].targets
    assert found.skipped == [("a.jpg", "listed again; only its first entry counts")]


@pytest.mark.parametrize("lacking", [{}, {"segmentation": []}])
def test_an_object_with_a_box_alone_is_its_box(root, lacking):
    dataset = root([{"category_id": 18, **lacking, "bbox": [10, 10, 20, 10]}])
    (target,) = dataset.samples[0].targets
    mask = object_mask(target, 60, 40)
    assert dataset.skipped == [] and mask.sum() == 200 and mask[10:20, 10:30].all()


def test_one_bad_object_costs_no_other_of_its_category(root):
    good = {"category_id": 1, "segmentation": SQUARE, "bbox": [10, 10, 20, 10]}
    broken = {"category_id": 1, "segmentation": [[1, 2]], "bbox": [1, 1, 9, 9]}
    flat = {"category_id": 1, "segmentation": SQUARE, "bbox": [5, 5, 0, 0]}
    dataset = root([broken, good, flat])
    (target,) = dataset.samples[0].targets
    assert [(box.left, box.top) for box in target.boxes] == [(10, 10)] and object_mask(target, 60, 40).sum() == 200
    reasons = [reason for _, reason in dataset.skipped]
    assert len(reasons) == 2 and "cannot be read" in reasons[0] and "no area" in reasons[1]
