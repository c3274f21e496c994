"""Subsets: by a list, at random, so many of each class; of every kind of data set, and through runs."""

from collections import Counter
from pathlib import Path

import pytest
from tiny_runs import config, contents, counted, draw, draw_plain, run, table, tables

from reciprocam_bench.config import DatasetConfig, SubsetConfig, parse_config
from reciprocam_bench.datasets.dataset import Dataset, Sample, Target
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.datasets.subset import take_subset
from reciprocam_bench.engine import loop
from reciprocam_bench.errors import UserError

CURE = "; give --output another folder, or --fresh to replace it"


def sample(name: str, label: int | None = None, categories: tuple[str, ...] = ()) -> Sample:
    return Sample(name, Path(name), label, tuple(Target(c, 0, (), (1, 1)) for c in categories))


def labelled(*counts: int) -> Dataset:
    """``counts[c]`` samples of class c."""
    return Dataset("some", [sample(f"{c}/{c}{i}.png", c) for c, n in enumerate(counts) for i in range(n)])


def taken(dataset: Dataset, seed: int = 0, **subset: object) -> list[str]:
    return [s.id for s in take_subset(dataset, SubsetConfig.model_validate(subset), seed).samples]


def listed(tmp_path: Path, text: str, dataset: Dataset) -> list[str]:
    (tmp_path / "list.txt").write_text(text)
    return taken(dataset, file=str(tmp_path / "list.txt"))


def test_a_list_names_ids_or_files_with_comments(tmp_path: Path) -> None:
    text = "# mine\n0/00.png\n\n  12.png  # the third\n1/11\n20\n20\n"
    assert listed(tmp_path, text, labelled(1, 3, 2)) == ["0/00.png", "1/11.png", "1/12.png", "2/20.png"]


def test_a_whole_id_comes_before_a_file_name(tmp_path: Path) -> None:
    dataset = Dataset("some", [sample("a.png"), sample("x/a.png"), sample("y/a.png")])
    assert listed(tmp_path, "a.png\n", dataset) == ["a.png"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0/00.png\n0/00.pn\n", "list.txt, line 2: '0/00.pn' is not in the data set; did you mean '0/00.png'?"),
        ("zzz\n", "list.txt, line 1: 'zzz' is not in the data set; known: 0/00.png, 0/01.png"),
        ("# nothing\n", "list.txt names no image; write an id or a file name on each line"),
    ],
)
def test_a_list_that_fits_no_image_is_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        listed(tmp_path, text, labelled(2))
    assert str(error.value) == f"dataset.subset.file: {tmp_path}/{words}"


def test_a_file_name_of_several_images_is_told(tmp_path: Path) -> None:
    dataset = Dataset("some", [sample("x/a.png"), sample("y/a.png")])
    with pytest.raises(UserError, match=r"line 1: 'a' names 2 images \(x/a\.png, y/a\.png, …\); write the id"):
        listed(tmp_path, "a", dataset)


def test_a_list_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.subset\.file: .*none\.txt does not exist; correct the path"):
        taken(labelled(1), file=str(tmp_path / "none.txt"))
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"list\.txt cannot be read"):
        taken(labelled(1), file=str(tmp_path / "list.txt"))


def test_a_listed_image_that_loading_left_out_keeps_its_reason(tmp_path: Path) -> None:
    dataset = Dataset(
        "some", [sample("a.png"), sample("b.png")], [("c.png", "gone"), ("d.png", "gone"), ("b.png", "x")]
    )
    (tmp_path / "list.txt").write_text("a.png\nc.png\n")
    part = take_subset(dataset, SubsetConfig(file=str(tmp_path / "list.txt")), 0)
    assert (part.samples, part.skipped) == ([sample("a.png")], [("c.png", "gone")])
    part = take_subset(dataset, SubsetConfig(random=2), 0)
    assert part.skipped == dataset.skipped


def test_random_is_seeded_and_heeds_no_class() -> None:
    dataset = labelled(40, 4)
    assert taken(dataset, random=10) == taken(Dataset("some", dataset.samples[::-1]), random=10)[::-1]
    assert taken(dataset, 1, random=10) != taken(dataset, random=10)
    assert set(taken(dataset, random=10)) < set(taken(dataset, random=11))
    few = Counter(name[0] for seed in range(200) for name in taken(dataset, seed, random=11))
    assert 150 < few["1"] < 250  # one in eleven, as in the data set
    assert len(taken(dataset, random=100)) == 44


def test_per_class_takes_as_many_of_each_and_those_that_the_order_has_first() -> None:
    dataset = labelled(5, 2, 9)
    assert Counter(name[0] for name in taken(dataset, per_class=3)) == {"0": 3, "1": 2, "2": 3}
    assert taken(dataset, 1, per_class=3) != taken(dataset, per_class=3)
    several = Dataset("some", [sample("a", None, ("cat", "dog")), sample("b", None, ("dog",)), sample("c")])
    assert taken(several, per_class=1) == ["a", "b"]
    with pytest.raises(UserError, match=r"per_class: no image of 'some' has a class; give labels, or take random"):
        taken(Dataset("some", [sample("c")]), per_class=1)


@pytest.mark.parametrize(
    ("subset", "words"),
    [
        ({"random": 2, "per_class": 1}, "dataset.subset: set one of file, random and per_class, not random and per_cl"),
        ({}, "dataset.subset: set one of file, random and per_class, not none"),
        ({"per_clas": 1}, "unknown key 'dataset.subset.per_clas'; did you mean 'per_class'?"),
        ({"random": 0}, "dataset.subset.random: Input should be greater than or equal to 1, not 0"),
    ],
)
def test_a_config_that_is_no_subset_is_told(subset: dict, words: str) -> None:
    dataset = {"name": "samples", "subset": subset}
    with pytest.raises(UserError) as error:
        parse_config({"backbone": {"model": "a"}, "dataset": dataset, "methods": ["cam"]}, "c.yaml")
    assert words in str(error.value)


def load(limit: int | None = None, **keys: object) -> Dataset:
    return load_dataset(DatasetConfig.model_validate(keys), limit)


def test_a_limit_takes_the_first_of_the_subsets_order(tmp_path: Path) -> None:
    root = str(draw_plain(tmp_path, 8))
    whole = load(name="folder", root=root, subset={"random": 6})
    part = load(4, name="folder", root=root, subset={"random": 6})
    assert part.samples == whole.samples[:4]
    assert (part.beyond_limit, part.beyond_subset, part.chosen, part.total) == (2, 2, 6, 8)


def test_a_subset_of_images_that_were_all_left_out_is_an_error(tmp_path: Path) -> None:
    draw_plain(tmp_path / "pictures", 2)
    (tmp_path / "pictures/x.png").mkdir()
    (tmp_path / "list.txt").write_text("x.png")
    with pytest.raises(UserError, match=r"has no images at .*pictures \(x\.png: is a folder\)"):
        load(name="folder", root=str(tmp_path / "pictures"), subset={"file": str(tmp_path / "list.txt")})


REAL: dict[str, dict[str, str]] = {
    "imagenet": {"root": "imagenet"},
    "voc": {"root": "VOCdevkit"},
    "coco": {"root": "coco", "annotations": "annotations/instances_val2017.json"},
}


@pytest.mark.parametrize("name", REAL)
def test_every_kind_of_data_set_has_subsets(data: Path, tmp_path: Path, name: str) -> None:
    keys = REAL[name] | {"name": name, "root": str(data / REAL[name]["root"])}
    whole = load(**keys)
    (tmp_path / "list.txt").write_text("\n".join(Path(s.id).stem for s in whole.samples[3:8]))
    part = load(**keys, subset={"file": str(tmp_path / "list.txt")})
    assert {s.id for s in part.samples} == {s.id for s in whole.samples[3:8]}
    assert len(load(**keys, subset={"random": 7}).samples) == 7
    stratified = load(**keys, subset={"per_class": 2}).samples
    classes = Counter(s.label if s.label is not None else s.targets[0].category for s in stratified)
    assert max(classes.values()) <= 2 and len(classes) > 3
    assert stratified == [s for s in whole.samples if s in stratified]  # in the data set's own order


def settings(place: Path, **changes: object):
    """A tiny config on six labelled images of three classes."""
    dataset = {"name": "folder", "root": str(place / "pictures"), "labels": str(place / "labels.csv")}
    return config(place, **{"dataset": dataset | {"subset": changes.pop("subset")}, "methods": ["gradcam"], **changes})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    draw([f"{i}.png" for i in range(6)], tmp_path / "pictures")
    (tmp_path / "labels.csv").write_text("".join(f"{i}.png,{i // 2}\n" for i in range(6)))
    (tmp_path / "list.txt").write_text("0.png\n3.png\n4.png\n5.png\n")
    return tmp_path


@pytest.mark.slow
def test_a_run_of_a_subset_grows_with_its_limit_and_equals_one_made_whole(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subset = {"file": str(place / "list.txt")}
    run(settings(place, subset=subset, limit=2), place / "run")
    assert table(place / "run", "summary")[["images", "images_total"]].to_numpy().tolist() == [[2, 6]]
    with monkeypatch.context() as patch:
        judged = counted(patch, loop, "judge_batch")
        run(settings(place, subset=subset), place / "run")
        assert len(judged) == 1
    run(settings(place, subset=subset), place / "whole")
    assert tables(place / "run") == tables(place / "whole")
    assert sorted(table(place / "run")["image"]) == ["0.png", "3.png", "4.png", "5.png"]
    assert "holds this run, finished" in run(settings(place, subset=subset), place / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "words"),
    [
        (None, "another config (dataset.subset was {'file': "),
        ({"random": 4}, "another config (dataset.subset.random was None, is 4)"),
        ({"file": "other.txt"}, "other data or weights (the data set "),
        ({"file": "shorter.txt"}, "other data or weights (the data set no longer holds an image that the run had ("),
    ],
)
def test_another_subset_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, other: dict | None, words: str
) -> None:
    monkeypatch.chdir(place)
    (place / "other.txt").write_text("0.png\n1.png\n4.png\n5.png\n")
    (place / "shorter.txt").write_text("0.png\n3.png\n4.png\n")
    (place / "same.txt").write_text("5\n4\n3\n0\n")
    run(settings(place, subset={"file": "list.txt"}), place / "run")
    before = contents(place / "run")
    with pytest.raises(UserError) as error:
        run(settings(place, subset=other), place / "run")
    assert f"{place / 'run'} holds a finished run of {words}" in str(error.value)
    assert str(error.value).endswith(CURE) and contents(place / "run") == before
    assert "holds this run, finished" in run(settings(place, subset={"file": "same.txt"}), place / "run")


@pytest.mark.slow
def test_an_image_of_the_subset_that_changed_is_noticed_and_one_beside_it_is_not(place: Path) -> None:
    subset = {"file": str(place / "list.txt")}
    run(settings(place, subset=subset), place / "run")
    draw(["1.png"], place / "pictures", seed=7)
    assert "holds this run, finished" in run(settings(place, subset=subset), place / "run")
    draw(["3.png"], place / "pictures", seed=7)
    with pytest.raises(UserError, match=r"the files of 1 of its 4 images changed \(3\.png first\)"):
        run(settings(place, subset=subset), place / "run")
