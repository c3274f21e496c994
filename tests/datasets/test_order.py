"""The one order of samples: rounds over the classes, by stable hashes."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from processes import holding

from reciprocam_bench.config import DatasetConfig
from reciprocam_bench.datasets.dataset import Sample, Target
from reciprocam_bench.datasets.order import spread
from reciprocam_bench.datasets.registry import load_dataset


def labelled(*counts: int) -> list[Sample]:
    """``counts[c]`` samples of class c, class after class."""
    return [Sample(f"{c}/{i}.jpg", Path(f"{c}/{i}.jpg"), c) for c, n in enumerate(counts) for i in range(n)]


def unlabelled(count: int) -> list[Sample]:
    return [Sample(f"{i}.jpg", Path(f"{i}.jpg")) for i in range(count)]


def ids(samples: list[Sample]) -> list[str]:
    return [s.id for s in samples]


@pytest.mark.parametrize("seed", [0, 1, 2**62])
def test_every_prefix_is_spread_over_the_classes(seed: int) -> None:
    ordered = spread(labelled(6, 3, 9, 1), seed)
    assert sorted(ids(ordered)) == sorted(ids(labelled(6, 3, 9, 1)))
    assert [Counter(s.label for s in ordered[:n]) for n in (4, 7, 10, 19)] == [
        {0: 1, 1: 1, 2: 1, 3: 1},
        {0: 2, 1: 2, 2: 2, 3: 1},
        {0: 3, 1: 3, 2: 3, 3: 1},
        {0: 6, 1: 3, 2: 9, 3: 1},
    ]


def test_the_order_is_that_of_these_hashes() -> None:
    # Written down, because runs on disk rely on it: a change would mix two orders in one run folder.
    assert ids(spread(labelled(2, 2, 2), 0)) == ["1/0.jpg", "0/0.jpg", "2/0.jpg", "1/1.jpg", "0/1.jpg", "2/1.jpg"]
    assert ids(spread(unlabelled(6), 0)) == ["2.jpg", "4.jpg", "3.jpg", "0.jpg", "1.jpg", "5.jpg"]


def test_only_ids_labels_and_seed_decide() -> None:
    samples = labelled(5, 4, 7)
    assert spread(samples[::-1], 3) == spread(samples, 3)
    assert spread(samples, 4) != spread(samples, 3)
    assert [s.label for s in spread(samples, 4)] != [s.label for s in spread(samples, 3)]


def tell_order(tell: Callable[[list[str]], None]) -> None:
    tell(ids(spread(labelled(10, 10, 10), 5)))


@pytest.mark.slow
def test_another_process_has_the_same_order() -> None:
    """One that Python started anew, which gives texts other hashes."""
    process, order = holding(tell_order)
    process.join()
    assert order == ids(spread(labelled(10, 10, 10), 5))


def test_an_added_sample_moves_no_two_others_without_classes() -> None:
    before = ids(spread(unlabelled(40), 0))
    after = ids(spread([*unlabelled(40), Sample("new.jpg", Path("new.jpg"))], 0))
    assert after.index("new.jpg") < 40  # it does not merely come last
    assert [i for i in after if i != "new.jpg"] == before


def test_an_added_sample_moves_no_two_others_of_a_class() -> None:
    before = spread(labelled(9, 9), 0)
    after = spread([*labelled(9, 9), Sample("0/new.jpg", Path("new.jpg"), 0)], 0)
    for c in (0, 1):
        assert [s.id for s in after if s.label == c and s.id != "0/new.jpg"] == [s.id for s in before if s.label == c]


def test_the_class_is_the_first_targets_category_where_there_is_no_label() -> None:
    def shows(name: str, *categories: str) -> Sample:
        return Sample(name, Path(name), None, tuple(Target(c, i, (), (9, 9)) for i, c in enumerate(categories)))

    samples = [*(shows(f"{i}", "cat", "dog") for i in range(4)), shows("d", "dog"), shows("nothing")]
    first = spread(samples, 0)[:3]
    assert {s.targets[0].category if s.targets else None for s in first} == {"cat", "dog", None}


def test_names_that_are_no_text_have_a_place_too() -> None:
    assert len(spread([Sample("\udcff.jpg", Path("\udcff.jpg")), *unlabelled(2)], 0)) == 3


def test_a_limit_takes_the_first_and_a_larger_one_only_adds(tmp_path: Path) -> None:
    for wnid in ("n01440764", "n02099601", "n07747607"):
        (tmp_path / wnid).mkdir()
        for i in range(4):
            Image.new("RGB", (4, 4)).save(tmp_path / wnid / f"{i}.png")
    config = DatasetConfig.model_validate({"name": "imagenet", "root": str(tmp_path)})
    whole = load_dataset(config, seed=7)
    assert (len(whole.samples), whole.beyond_limit, whole.total) == (12, 0, 12)
    for limit in (1, 3, 5, 12, 99):
        part = load_dataset(config, limit, seed=7)
        assert part.samples == whole.samples[:limit]
        assert part.total == 12
    assert {s.label for s in load_dataset(config, 3, seed=8).samples} == {0, 207, 950}
    assert load_dataset(config, seed=8).samples != whole.samples
