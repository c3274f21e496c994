"""When a network is told to classify no better than chance."""

import json
from pathlib import Path

import pytest
from scipy.stats import binomtest

from reciprocam_bench.reporting.compare import compare
from reciprocam_bench.reporting.report import report
from reciprocam_bench.reporting.summary import warnings_of, write_tables
from reciprocam_bench.runfolder.doubt import doubt_of, near_chance
from reciprocam_bench.runfolder.record import read_record

HEADING = "protocol,image,category,difficult,label,predicted,class,probability,method,status,increase\n"


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("images", [1, 7, 8, 20, 100])
def test_the_rule_is_that_of_the_exact_interval(classes: int, images: int) -> None:
    chance = 1 / classes
    for right in range(images + 1):
        low, high = binomtest(right, images).proportion_ci(0.99)
        assert near_chance(right, images, classes) == (low < chance and high <= (1 + chance) / 2), right


@pytest.mark.parametrize(
    ("right", "images", "classes", "near"),
    [
        (1, 20, 1000, True),
        (2, 20, 1000, False),
        (0, 7, 1000, False),  # too few to say anything
        (0, 8, 1000, True),
        (17, 20, 1000, False),
        (20, 40, 2, True),
        (3, 5, 2, False),
        (65, 100, 2, False),
        (53, 50_000, 1000, True),
        (100, 50_000, 1000, False),
        (0, 0, 1000, False),
        (9, 9, 1, False),
    ],
)
def test_examples(right: int, images: int, classes: int, near: bool) -> None:
    assert near_chance(right, images, classes) == near


def folder(path: Path, right: int, images: int, weights: str = "default", classes: int | None = 1000) -> Path:
    """A finished run of one method, with a label for each image but the last."""
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(
        f"backbone: {{model: torchvision/resnet18, weights: {weights}}}\ndataset: {{name: folder, root: x}}\n"
        "methods: [cam]\nmetrics: [increase]\nseed: 0\n"
    )
    facts = {"format": 2, "dataset": "folder", "images": images + 1, "images_total": images + 1, "finished": "today"}
    definitions = {
        "protocols": {"poppi-2021": {"version": 1, "classes": "predicted"}},
        "methods": {"cam": {"name": "cam"}},
        "metrics": {"increase": {"title": "Increase", "higher_is_better": True, "columns": ["increase"]}},
    }
    facts |= {"definitions": definitions} | ({"num_classes": classes} if classes else {})
    (path / "environment.json").write_text(json.dumps(facts))
    rows = [f"poppi-2021,{i}.png,,,5,{5 if i < right else 6},5,0.5,cam,ok,1\n" for i in range(images)]
    rows.append("poppi-2021,last.png,,,,6,6,0.5,cam,ok,1\n")
    (path / "per_image.csv").write_text(HEADING + "".join(rows))
    write_tables(path)
    return path


CHANCE = "top-1 is 1 of 20, no better than chance (1 of 1000): "
MEANING = "maps of such a network look convincing and score well, and mean nothing"


def test_a_network_near_chance_has_a_note_with_every_table_of_quality(tmp_path: Path) -> None:
    path = folder(tmp_path / "run", 1, 20)
    assert warnings_of(path) == [CHANCE + MEANING]
    for form in ("markdown", "terminal"):
        assert f"top-1 of the labelled images: 5.0 %\n\nNote: {CHANCE}{MEANING}.\n\n" in report(path, form)
    assert f". Note: {CHANCE}{MEANING}}}" in report(path, "latex")
    assert report(path, "csv").startswith("backbone,")
    text = compare([path, folder(tmp_path / "other", 1, 20)], "markdown")
    assert text.count(f"\n\nNote: {CHANCE}{MEANING}.\n\n") == 1


def test_a_network_that_works_has_none(tmp_path: Path) -> None:
    path = folder(tmp_path / "run", 15, 20)
    assert warnings_of(path) == [] and "Note" not in report(path, "markdown")


def test_of_several_runs_the_note_names_its_network(tmp_path: Path) -> None:
    good, bad = folder(tmp_path / "a", 15, 20), folder(tmp_path / "b", 1, 20)
    assert f"\n\nNote: torchvision/resnet18: {CHANCE}" in report([good, bad], "markdown")


def test_random_weights_are_told_however_many_are_right(tmp_path: Path) -> None:
    path = folder(tmp_path / "run", 15, 20, weights="none")
    assert warnings_of(path) == [f"the weights are random (weights: none): {MEANING}"]


def test_nothing_is_said_where_the_number_of_classes_is_not_known(tmp_path: Path) -> None:
    record = read_record(folder(tmp_path / "run", 0, 20, classes=None))
    assert doubt_of(record, record.rows(), "poppi-2021") == ""
