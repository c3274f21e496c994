"""Maps, methods, metrics and images that fail: each costs its own cells, and the table says so."""

import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import METRICS, config, lines, run, table, tables

from reciprocam_bench.engine.experiment import set_up
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass

pytestmark = pytest.mark.slow


def test_constant_and_nan_maps_are_judged_as_maps_that_mark_nothing(
    pictures: Path, tmp_path: Path, method: Callable
) -> None:
    def second_is_nan(fp: ForwardPass) -> torch.Tensor:
        maps = fp.features.mean(1)
        maps[1, 2, 3] = torch.nan
        return maps

    method("test-flat", lambda fp: torch.full_like(fp.features[:, 0], 3.0))
    method("test-nan", second_is_nan)
    method("test-inf", lambda fp: fp.features.mean(1) / 0)
    settings = config(pictures, methods=["test-flat", "test-nan", "test-inf"], limit=2)
    said = run(settings, tmp_path / "run")
    rows = table(tmp_path / "run").set_index(["method", "image"])
    assert rows["status"].tolist() == ["constant", "ok", "nan", "constant", "nan", "nan"]

    backbone = set_up(settings).backbone
    black = backbone(torch.zeros(1, 3, 224, 224)).softmax(1)[0]
    for status in ("constant", "nan"):
        for _, row in rows[rows["status"] == status].iterrows():
            assert row[["coherency", "complexity", "adcc"]].tolist() == [0, 0, 0]
            drop = max(0.0, 1 - float(black[row["class"]]) / row["probability"])
            assert row["average_drop"] == pytest.approx(drop, abs=1e-4)
            assert row["increase"] == float(black[row["class"]] > row["probability"])
    assert rows.loc["test-nan"]["coherency"].iloc[0] > 0

    summary = table(tmp_path / "run", "summary").set_index("method")
    counts = summary[["images", "constant", "nan", "errors"]]
    assert counts.loc["test-flat"].tolist() == [2, 2, 0, 0]
    assert counts.loc["test-nan"].tolist() == [2, 0, 1, 0]
    assert summary.loc["test-flat", "adcc"] == 0
    assert "test-flat (poppi-2021): 2 constant of 2 maps; see per_image.csv" in said


def test_a_method_that_fails_gets_error_rows_and_the_run_goes_on(
    pictures: Path, tmp_path: Path, method: Callable
) -> None:
    calls = []

    def fails_in_the_first_batch(fp: ForwardPass) -> torch.Tensor:
        calls.append(len(fp))
        if len(calls) <= 1 + 4:  # the batch, and its images one by one
            raise RuntimeError("no\nluck, today")
        return fp.features.mean(1)

    method("test-fails", fails_in_the_first_batch)
    said = run(config(pictures, methods=["gradcam", "test-fails", "reciprocam"], batch_size=4), tmp_path / "run")
    rows = table(tmp_path / "run")
    mine = rows[rows["method"] == "test-fails"]
    assert mine["status"].tolist() == ["error: RuntimeError: no luck, today"] * 4 + ["ok"] * 2
    assert mine[METRICS].isna().all(axis=1).tolist() == [True] * 4 + [False] * 2
    assert set(rows[rows["method"] != "test-fails"]["status"]) == {"ok"}

    summary = table(tmp_path / "run", "summary").set_index("method")
    assert summary.loc["test-fails", ["images", "errors"]].tolist() == [2, 4]
    assert summary.loc["test-fails", "complexity"] == pytest.approx(100 * mine["complexity"].mean(), abs=1e-3)
    assert "test-fails (poppi-2021): 4 errors of 6 maps; see per_image.csv" in said

    run(config(pictures, batch_size=4), tmp_path / "without")
    assert lines(tmp_path / "without") == lines(tmp_path / "run", without="test-fails")


@pytest.mark.parametrize(
    "maps",
    [
        lambda fp: fp.features.mean(1)[:1],
        lambda fp: fp.features,
        lambda fp: fp.features.mean((1, 2, 3)),
        lambda fp: fp.features.mean(1).numpy(),
        lambda fp: None,
        lambda fp: fp.features.mean(1)[:, :0],
    ],
    ids=["one map for all", "a map per channel", "numbers", "numpy", "nothing", "empty maps"],
)
def test_a_method_that_returns_something_else_than_maps_gets_error_rows(
    pictures: Path, tmp_path: Path, method: Callable, maps: Callable
) -> None:
    method("test-odd", maps)
    settings = config(pictures, methods=["test-odd", "gradcam"], metrics=["complexity"], batch_size=3, limit=3)
    run(settings, tmp_path / "run")
    rows = table(tmp_path / "run")
    assert rows[rows["method"] == "test-odd"]["status"].str.startswith("error: ").all()
    assert set(rows[rows["method"] == "gradcam"]["status"]) == {"ok"}


@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_image_that_breaks_a_method_is_one_row_in_any_batch(
    pictures: Path, tmp_path: Path, method: Callable, batch_size: int
) -> None:
    brightest: list[float] = []

    def picky(fp: ForwardPass) -> torch.Tensor:
        brightest.extend(image.sum().item() for image in fp.images)
        if any(image.sum().item() == threshold for image in fp.images):
            raise RuntimeError("not this one")
        return fp.features.mean(1)

    threshold = None
    method("test-picky", picky)
    settings = config(pictures, methods=["test-picky", "gradcam"], metrics=["average_drop"], batch_size=batch_size)
    run(settings, tmp_path / "first")
    threshold = brightest[2]
    run(settings, tmp_path / "second")
    first, second = table(tmp_path / "first"), table(tmp_path / "second")
    failed = second["status"] != "ok"
    assert second[failed]["status"].tolist() == ["error: RuntimeError: not this one"]
    assert np.allclose(second[~failed]["average_drop"], first[~failed]["average_drop"], atol=1e-6)


class Held:
    """What a failed call holds, as a full GPU holds the tensors of its batch."""


def test_what_a_failed_batch_holds_is_free_when_its_images_are_judged_alone(
    pictures: Path, tmp_path: Path, method: Callable, new_metric: Callable
) -> None:
    held: list[weakref.ref] = []
    alive = []

    def full_of_two(images: torch.Tensor) -> torch.Tensor:
        alive.extend(ref() is not None for ref in held)
        mine = Held()
        if len(images) > 1:
            held.append(weakref.ref(mine))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images.mean((1, 2, 3)).sigmoid()

    def large(fp: ForwardPass) -> torch.Tensor:
        full_of_two(fp.images)
        return fp.features.mean(1)

    method("test-large", large)
    new_metric("test-large", lambda probability: full_of_two(probability[:, None, None, None]), higher_is_better=True)
    settings = config(pictures, methods=["test-large"], metrics=["complexity"], batch_size=2, limit=2)
    run(settings, tmp_path / "method")
    assert len(held) == 1 and alive == [False, False]
    held.clear(), alive.clear()
    run(config(pictures, methods=["gradcam"], metrics=["test-large"], batch_size=2, limit=2), tmp_path / "metric")
    assert len(held) == 1 and alive == [False, False]
    for name in ("method", "metric"):
        assert set(table(tmp_path / name)["status"]) == {"ok"}


def test_unreadable_images_are_skipped_counted_and_listed(pictures: Path, tmp_path: Path) -> None:
    broken = pictures / "n01440764" / "64_1.png"
    broken.write_bytes(broken.read_bytes()[:100])
    (pictures / "n02099601" / "00.jpg").write_text("no image")
    run(config(pictures), tmp_path / "run")
    assert table(tmp_path / "run", "summary")["images"].tolist() == [5, 5]
    skipped = table(tmp_path / "run", "skipped")
    assert list(skipped.columns) == ["protocol", "image", "reason"]
    assert sorted(skipped["image"]) == ["n01440764/64_1.png", "n02099601/00.jpg"]
    assert skipped["reason"].str.startswith("unreadable image: ").all()
    assert not set(skipped["image"]) & set(table(tmp_path / "run")["image"])


def test_what_the_data_set_left_out_is_listed_too(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("64_0.png,3\n")
    dataset = {"name": "folder", "root": str(pictures), "labels": str(tmp_path / "l.csv")}
    run(config(pictures, dataset=dataset), tmp_path / "run")
    skipped = table(tmp_path / "run", "skipped")
    assert skipped["reason"].tolist() == ["not in the label file"] * 5
    assert skipped["protocol"].tolist() == [""] * 5
    assert table(tmp_path / "run")["image"].tolist() == ["n01440764/64_0.png"] * 2


def test_no_readable_image_is_a_mistake_each_time(pictures: Path, tmp_path: Path) -> None:
    for path in pictures.rglob("*.png"):
        path.write_text("no image")
    for _ in range(2):
        with pytest.raises(UserError, match=r"^none of the 6 images could be judged; .*skipped\.csv lists why$"):
            run(config(pictures), tmp_path / "run")
        assert len(table(tmp_path / "run", "skipped")) == 6


def test_an_image_that_breaks_a_metric_costs_that_cell_alone(
    pictures: Path, tmp_path: Path, new_metric: Callable
) -> None:
    run(config(pictures, methods=["gradcam"], metrics=["average_drop", "complexity"], batch_size=4), tmp_path / "plain")
    plain = table(tmp_path / "plain")
    broken = float(plain["probability"].iloc[2])
    sizes = []

    def picky(probability: torch.Tensor) -> torch.Tensor:
        sizes.append(len(probability))
        if any(f"{p:.7g}" == f"{broken:.7g}" for p in probability.tolist()):
            raise RuntimeError("not; this\none")
        return probability

    new_metric("test-picky", picky, higher_is_better=True)
    metrics = ["average_drop", "test-picky", "complexity"]
    said = run(config(pictures, methods=["gradcam"], metrics=metrics, batch_size=4), tmp_path / "run")
    rows = table(tmp_path / "run")
    assert sizes == [4, 1, 1, 1, 1, 2]
    told = "ok; error in test-picky: RuntimeError: not, this one"
    assert rows["status"].tolist() == ["ok", "ok", told, "ok", "ok", "ok"]
    assert (rows["test-picky"] == "").tolist() == [False, False, True, False, False, False]
    for name in ("average_drop", "complexity"):
        assert rows[name].tolist() == plain[name].tolist()
    summary = table(tmp_path / "run", "summary").iloc[0]
    assert (summary["images"], summary["errors"]) == (6, 0)
    values = rows["test-picky"].replace("", np.nan).astype(float)
    assert summary["test-picky"] == pytest.approx(100 * values.mean(), abs=1e-3)
    assert " of 6 maps" not in said


@pytest.mark.parametrize(
    "function, told",
    [
        (lambda probability: probability[:0], "WrongValues: values must be (1,), they are (0,)"),
        (lambda probability: None, "WrongValues: values must be (1,), they are NoneType"),
        (
            lambda probability: probability / 0,
            "WrongValues: values must be finite, or NaN where there is none, one is inf",
        ),
        (lambda probability, ask: ask(probability, probability), "Error: "),
        (lambda located: 1 / 0, None),
    ],
)
def test_a_metric_that_fails_everywhere_leaves_the_others_their_values(
    pictures: Path, tmp_path: Path, new_metric: Callable, function: Callable, told: str | None
) -> None:
    new_metric("test-odd", function, higher_is_better=True)
    settings = config(pictures, methods=["gradcam"], metrics=["test-odd", "complexity"], limit=2)
    run(settings, tmp_path / "run")
    rows = table(tmp_path / "run")
    assert rows["complexity"].gt(0).all() and rows["test-odd"].isin(["", np.nan]).all()
    for status in rows["status"]:
        # No object is annotated in these images, so a metric of localisation is not called.
        assert status == "ok" if told is None else status.startswith("ok; error in test-odd: ") and told in status
    assert "holds this run, finished" in run(settings, tmp_path / "run")


def test_a_metric_made_of_one_that_fails_fails_with_it(pictures: Path, tmp_path: Path, new_metric: Callable) -> None:
    new_metric("test_odd", lambda probability: 1 / 0, higher_is_better=True)
    new_metric("test_of_odd", lambda test_odd: test_odd, higher_is_better=True)
    run(config(pictures, methods=["gradcam"], metrics=["test_of_odd", "increase"], limit=1), tmp_path / "run")
    row = table(tmp_path / "run").iloc[0]
    assert row["status"] == "ok; error in test_of_odd: ZeroDivisionError: division by zero"
    assert row["increase"] in (0, 1)


def test_a_gained_metric_that_fails_keeps_the_status_and_the_values_that_are_there(
    pictures: Path, tmp_path: Path, new_metric: Callable
) -> None:
    new_metric("test-first", lambda probability: 1 / 0, higher_is_better=True)
    new_metric("test-then", lambda probability: [][0], higher_is_better=True)
    run(config(pictures, methods=["gradcam"], metrics=["test-first", "complexity"], limit=2), tmp_path / "run")
    gained = config(pictures, methods=["gradcam"], metrics=["test-first", "complexity", "test-then"], limit=2)
    run(gained, tmp_path / "run")
    first = "error in test-first: ZeroDivisionError: division by zero"
    then = "error in test-then: IndexError: list index out of range"
    assert [set(s.split("; ")) for s in table(tmp_path / "run")["status"]] == [{"ok", first, then}] * 2
    run(gained, tmp_path / "whole")
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


def test_what_is_changed_in_place_is_changed_for_nobody_else(
    pictures: Path, tmp_path: Path, method: Callable, new_metric: Callable
) -> None:
    def careless(fp: ForwardPass) -> torch.Tensor:
        fp.images.zero_()
        fp.logits.zero_()
        return fp.features.clamp_(max=0.05).mean(1)

    def wasteful(
        saliency: torch.Tensor, explanation: torch.Tensor, probability: torch.Tensor, fp: ForwardPass, raw: torch.Tensor
    ) -> torch.Tensor:
        for given in (saliency, explanation, fp.images, fp.features, raw):
            given.zero_()
        return probability.zero_()

    method("test-careless", careless)
    new_metric("test-wasteful", wasteful, higher_is_better=True)
    settings = {"limit": 4, "batch_size": 2}
    run(config(pictures, **settings), tmp_path / "alone")
    metrics = ["test-wasteful", *METRICS]
    run(
        config(pictures, methods=["test-careless", "gradcam", "reciprocam"], metrics=metrics, **settings),
        tmp_path / "run",
    )
    together, alone = (table(tmp_path / name).set_index(["image", "method"])[METRICS] for name in ("run", "alone"))
    assert together.loc[alone.index].equals(alone)
    assert set(table(tmp_path / "run")["status"]) == {"ok"}
