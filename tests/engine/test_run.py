"""Whole runs on a tiny network: tables, counts, failures, several protocols, picture sheets, timing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from reciprocam_bench.config import Config, parse_config
from reciprocam_bench.engine.complete import complete, only_time
from reciprocam_bench.engine.experiment import set_up
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import EXPLAINERS, explainer
from reciprocam_bench.reporting.report import report

CLASSES = {"n01440764": 0, "n02099601": 207, "n03028079": 497}
METRICS = ["average_drop", "increase", "coherency", "complexity", "adcc"]
FIXED = ["protocol", "image", "category", "difficult", "label", "predicted", "class", "probability", "method", "status"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def draw_pictures(root: Path) -> Path:
    generator = np.random.default_rng(0)
    for wnid in CLASSES:
        (root / wnid).mkdir(parents=True)
        for i in range(2):
            pixels = generator.integers(0, 256, (5, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((40, 40)).save(root / wnid / f"{wnid[-2:]}_{i}.png")
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six images of 40x40 in three wnid folders."""
    return draw_pictures(tmp_path / "pictures")


def config(root: Path, **changes: object) -> Config:
    data = {
        "backbone": {"model": "timm/test_resnet", "weights": "none"},
        "dataset": {"name": "imagenet", "root": str(root)},
        "methods": ["gradcam", "reciprocam"],
        "batch_size": 4,
        "device": "cpu",
        "threads": 1,
        "maps": 0,
    }
    return parse_config({**data, **changes}, "test")


def run(settings: Config, folder: Path, fresh: bool = False) -> list[str]:
    """What a run said."""
    said: list[str] = []
    complete(settings, folder, fresh=fresh, quiet=True, say=said.append)
    return said


def lines(folder: Path, part: str = "", without: str = "\n") -> list[str]:
    """The rows of per_image.csv that hold ``part``, as they are written."""
    text = (folder / "per_image.csv").read_text().splitlines()[1:]
    return [line for line in text if part in line and without not in line]


def table(folder: Path, name: str = "per_image") -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv", keep_default_na=False, na_values={m: [""] for m in METRICS})


@pytest.fixture
def method() -> Iterator[Callable]:
    """Registers explainers for one test."""
    EXPLAINERS.all()
    added = []

    def register(name: str, function: Callable[[ForwardPass], torch.Tensor]) -> str:
        explainer(name)(function)
        added.append(name)
        return name

    yield register
    for name in added:
        del EXPLAINERS._specs[name]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with timing, finished."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("finished")
    timing = {"repeats": 3, "warmup": 0, "batch_size": 2, "relative_to": "reciprocam"}
    run(config(draw_pictures(place / "pictures"), timing=timing, maps=3), place / "run")
    return place / "run"


def test_a_run_leaves_the_files_it_promises(finished: Path) -> None:
    assert sorted(p.name for p in finished.iterdir()) == [
        *("config.yaml", "environment.json", "maps", "per_image.csv", "skipped.csv", "summary.csv", "timing.csv")
    ]


def test_per_image_has_a_row_per_image_and_method(finished: Path) -> None:
    rows = table(finished)
    assert list(rows.columns) == FIXED + METRICS
    assert len(rows) == 12
    assert rows["method"].tolist() == ["gradcam", "reciprocam"] * 6
    assert rows["image"].tolist()[::2] == sorted(rows["image"].unique())
    assert set(rows["status"]) == {"ok"}
    assert [CLASSES[image.partition("/")[0]] for image in rows["image"]] == rows["label"].tolist()
    assert (rows["class"] == rows["predicted"]).all()
    assert rows[METRICS].notna().all(axis=None)
    assert rows["increase"].isin([0, 1]).all()
    assert rows[["probability", *METRICS]].to_numpy().min() >= 0
    assert rows[["probability", *METRICS]].to_numpy().max() <= 1


def test_summary_is_in_percent_with_the_columns_it_promises(finished: Path) -> None:
    rows, summary = table(finished), table(finished, "summary").set_index("method")
    expected = ["backbone", "dataset", "protocol", "images", "constant", "nan", "errors", "top1", "classes"]
    for name in METRICS:
        expected += [name, f"{name}_low", f"{name}_high"] + ["adcc_mean"] * (name == "adcc") + [f"{name}_published"]
    assert list(summary.columns) == [*expected, "published_note"]
    for title, row in summary.iterrows():
        means = rows[rows["method"] == title][METRICS].mean()
        for name in METRICS[:-1]:
            assert row[name] == pytest.approx(100 * means[name], abs=1e-3)
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
        terms = [means["coherency"], 1 - means["complexity"], 1 - means["average_drop"]]
        assert row["adcc"] == pytest.approx(100 * 3 / sum(1 / t for t in terms), abs=1e-3)
        assert row["adcc_mean"] == pytest.approx(100 * means["adcc"], abs=1e-3)
        assert row["adcc_low"] <= row["adcc"] <= row["adcc_high"]
        assert (row["images"], row["constant"], row["nan"], row["errors"]) == (6, 0, 0, 0)
        assert row["top1"] == pytest.approx(100 * (rows["label"] == rows["predicted"]).mean(), abs=1e-3)


def test_timing_has_a_row_per_method_and_scope(finished: Path) -> None:
    timing = table(finished, "timing")
    assert list(timing.columns) == [
        *("backbone", "method", "implementation", "scope", "batch_size", "relative_to", "repeats"),
        *("median_ms", "q25_ms", "q75_ms", "device_median_ms", "images_per_s"),
        *("speedup", "speedup_low", "speedup_high", "peak_memory_mb", "status"),
    ]
    pairs = [(m, s) for m in ("gradcam", "reciprocam") for s in ("end-to-end", "explainer")]
    assert list(zip(timing["method"], timing["scope"], strict=True)) == pairs
    assert set(timing["repeats"]) == {3}
    assert set(timing["batch_size"]) == {2}
    assert (timing["q25_ms"] <= timing["median_ms"]).all()
    assert (timing["median_ms"] <= timing["q75_ms"]).all()
    assert np.allclose(timing["images_per_s"], 2000 / timing["median_ms"], rtol=1e-4)
    assert (timing["peak_memory_mb"] > 0).all()
    own = timing[timing["method"] == "reciprocam"]
    assert (own[["speedup", "speedup_low", "speedup_high"]] == 1).all(axis=None)
    wall = timing.pivot(index="method", columns="scope", values="median_ms")
    assert (wall["end-to-end"] > wall["explainer"]).all()


def test_environment_holds_what_a_reader_needs(finished: Path) -> None:
    content = json.loads((finished / "environment.json").read_text())
    needed = {"rcam-bench", "packages", "device", "threads", "precision", "commit", "seed", "date", "finished"}
    assert needed <= set(content)
    assert content["images"] == 6
    assert {"read images", "forward", "explain", "metrics", "pictures", "timing"} <= set(content["seconds"])
    assert all(seconds >= 0 for seconds in content["seconds"].values())


def test_saved_config_runs_again_as_the_same_experiment(finished: Path) -> None:
    saved = yaml.safe_load((finished / "config.yaml").read_text())
    assert parse_config(saved, "saved").batch_size == 4
    assert "holds this run, finished" in run(parse_config(saved, "saved"), finished)[0]


def test_sheets_are_written_for_the_first_images(finished: Path, tmp_path: Path, pictures: Path) -> None:
    assert sorted(p.name for p in (finished / "maps").iterdir()) == ["000_64_0.png", "001_64_1.png", "002_01_0.png"]
    for path in (finished / "maps").iterdir():
        with Image.open(path) as sheet:
            assert sheet.size == (780, 330)
            assert len(sheet.convert("RGB").getcolors(1 << 24)) > 100
    run(config(pictures, maps=0, limit=1), tmp_path / "run")
    assert not (tmp_path / "run" / "maps").exists()


def test_sheets_go_on_in_the_next_batch_and_stop_at_the_last_image(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, maps=50, limit=5, batch_size=2, methods=["gradcam"]), tmp_path / "run")
    assert [p.name[:3] for p in sorted((tmp_path / "run/maps").iterdir())] == ["000", "001", "002", "003", "004"]


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
    assert any("test-flat" in line and "2 constant" in line for line in said)


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
    said = run(config(pictures, methods=["gradcam", "test-fails", "reciprocam"]), tmp_path / "run")
    rows = table(tmp_path / "run")
    mine = rows[rows["method"] == "test-fails"]
    assert mine["status"].tolist() == ["error: RuntimeError: no luck, today"] * 4 + ["ok"] * 2
    assert mine[METRICS].isna().all(axis=1).tolist() == [True] * 4 + [False] * 2
    assert set(rows[rows["method"] != "test-fails"]["status"]) == {"ok"}

    summary = table(tmp_path / "run", "summary").set_index("method")
    assert summary.loc["test-fails", ["images", "errors"]].tolist() == [2, 4]
    assert summary.loc["test-fails", "complexity"] == pytest.approx(100 * mine["complexity"].mean(), abs=1e-3)
    assert any("test-fails" in line and "4 errors of 6 maps" in line for line in said)

    run(config(pictures), tmp_path / "without")
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
    run(config(pictures, methods=["test-odd", "gradcam"], metrics=["complexity"], limit=3), tmp_path / "run")
    rows = table(tmp_path / "run")
    assert rows[rows["method"] == "test-odd"]["status"].str.startswith("error: ").all()
    assert set(rows[rows["method"] == "gradcam"]["status"]) == {"ok"}


@pytest.mark.parametrize("others", [["gradcam"], []])
def test_a_method_that_fails_everywhere_keeps_its_timing_rows_without_times(
    pictures: Path, tmp_path: Path, method: Callable, capsys: pytest.CaptureFixture, others: list[str]
) -> None:
    method("test-fails", lambda fp: 1 / 0)
    timing = {"repeats": 1, "warmup": 0, "relative_to": "test-fails"}
    run(config(pictures, methods=["test-fails", *others], limit=2, timing=timing), tmp_path / "run")
    assert table(tmp_path / "run", "summary").set_index("method").loc["test-fails", "errors"] == 2
    rows = table(tmp_path / "run", "timing").set_index("method")
    assert set(rows.loc["test-fails", "median_ms"]) == {""}
    assert set(rows.loc["test-fails", "status"]) == {"error: ZeroDivisionError: division by zero"}
    for other in others:
        assert (rows.loc[other, "median_ms"].astype(float) > 0).all() and set(rows.loc[other, "status"]) == {"ok"}
    note = "note: test-fails could not be timed: ZeroDivisionError: division by zero; nothing is timed against it"
    assert note in capsys.readouterr().err
    text = report(tmp_path / "run", "markdown")
    assert "failed" in text and "nan" not in text.replace("constant", "")


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


def test_unreadable_images_are_skipped_counted_and_listed(pictures: Path, tmp_path: Path) -> None:
    broken = pictures / "n01440764" / "64_1.png"
    broken.write_bytes(broken.read_bytes()[:100])
    (pictures / "n02099601" / "00.jpg").write_text("no image")
    run(config(pictures), tmp_path / "run")
    assert table(tmp_path / "run", "summary")["images"].tolist() == [5, 5]
    skipped = table(tmp_path / "run", "skipped")
    assert list(skipped.columns) == ["protocol", "image", "reason"]
    assert skipped["image"].tolist() == ["n01440764/64_1.png", "n02099601/00.jpg"]
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


def test_labels_are_explained_under_a_protocol_that_explains_them(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, protocol="recipro-2024"), tmp_path / "run")
    rows = table(tmp_path / "run")
    assert (rows["class"] == rows["label"]).all()
    assert (rows["class"] != rows["predicted"]).any()


@pytest.mark.parametrize("changes", [{"protocol": "recipro-2024"}, {"classes": "label"}])
def test_explaining_labels_without_labels_is_a_mistake(pictures: Path, tmp_path: Path, changes: dict) -> None:
    with pytest.raises(UserError, match="no label for"):
        run(config(pictures, dataset={"name": "folder", "root": str(pictures)}, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unlabelled_images_have_no_label_and_no_accuracy(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, dataset={"name": "folder", "root": str(pictures)}, limit=2), tmp_path / "run")
    assert table(tmp_path / "run")["label"].tolist() == [""] * 4
    assert table(tmp_path / "run", "summary")["top1"].tolist() == [""] * 2


def test_one_class_can_be_explained_for_all(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, classes=7, limit=2), tmp_path / "run")
    assert set(table(tmp_path / "run")["class"]) == {7}


def test_two_protocols_in_one_run_give_what_each_gives_alone(pictures: Path, tmp_path: Path) -> None:
    names = ["poppi-2021", "recipro-2024"]
    run(config(pictures, protocol=names, maps=1), tmp_path / "both")
    summary = table(tmp_path / "both", "summary")
    assert list(zip(summary["protocol"], summary["method"], strict=True)) == [
        (protocol, title) for protocol in names for title in ("gradcam", "reciprocam")
    ]
    for name in names:
        run(config(pictures, protocol=name), tmp_path / name)
        assert lines(tmp_path / name) == lines(tmp_path / "both", name)
        assert len(list((tmp_path / "both" / "maps" / name).iterdir())) == 1


def test_a_protocol_listed_twice_is_a_mistake(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"protocol.*twice"):
        run(config(pictures, protocol=["poppi-2021", "poppi-2021"]), tmp_path / "run")


def test_batch_size_and_reading_processes_do_not_change_the_values(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, batch_size=6), tmp_path / "whole")
    run(config(pictures, batch_size=1, workers=1), tmp_path / "single")
    whole, single = table(tmp_path / "whole"), table(tmp_path / "single")
    exact = [column for column in FIXED if column != "probability"]
    assert whole[exact].equals(single[exact])
    assert np.allclose(whole[["probability", *METRICS]], single[["probability", *METRICS]], atol=1e-5)


def test_only_the_metrics_asked_for(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, metrics=["complexity"], limit=2), tmp_path / "run")
    assert list(table(tmp_path / "run").columns) == [*FIXED, "complexity"]


def test_the_models_own_geometry_changes_the_values(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, limit=1), tmp_path / "papers")
    run(config(pictures, limit=1, preprocess="model"), tmp_path / "models")
    papers, models = table(tmp_path / "papers"), table(tmp_path / "models")
    assert papers["probability"].tolist() != models["probability"].tolist()


def test_a_model_of_one_image_size_is_split_at_that_size(pictures: Path, tmp_path: Path) -> None:
    backbone = {"model": "timm/vit_tiny_patch16_384", "weights": "none"}
    settings = config(pictures, backbone=backbone, preprocess="model", methods=["gradcam"], limit=1)
    run(settings, tmp_path / "run")
    assert table(tmp_path / "run")["status"].tolist() == ["ok"]


@pytest.mark.parametrize("label", ["2021", "007", "1e3", "nan", "a,b", 'say "x"', "Größe", "$\\frac$"])
def test_a_method_may_have_any_label(pictures: Path, tmp_path: Path, label: str) -> None:
    methods = [{"name": "gradcam", "label": label}]
    settings = config(pictures, methods=methods, limit=2, maps=int("$" in label))
    assert f" {label} " in complete(settings, tmp_path / "run", fresh=False, quiet=True, say=lambda *lines: None)
    summary = pd.read_csv(tmp_path / "run/summary.csv", dtype=str, keep_default_na=False)
    assert summary[["method", "images"]].to_numpy().tolist() == [[label, "2"]]


@pytest.mark.parametrize(
    "name", ["with space.png", "ünï.png", "a,b.png", "NA.png", "001.png", "x\u2028y.png", "$a_$.png"]
)
def test_an_image_may_have_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / "my pictures ☃"
    root.mkdir()
    Image.effect_noise((40, 40), 50).save(root / name)
    settings = config(root, dataset={"name": "folder", "root": str(root)}, methods=["gradcam"], maps=1)
    run(settings, tmp_path / "run")
    assert table(tmp_path / "run", "summary")["images"].tolist() == [1]
    assert len(list((tmp_path / "run" / "maps").iterdir())) == 1


def test_an_image_name_that_is_no_text_is_no_crash(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    Image.effect_noise((40, 40), 50).save(root / "good.png")
    (root / "bad\udcff.png").write_bytes((root / "good.png").read_bytes())
    run(config(root, dataset={"name": "folder", "root": str(root)}, methods=["gradcam"]), tmp_path / "run")
    assert table(tmp_path / "run", "summary")["images"].iloc[0] >= 1


def test_same_file_name_in_two_class_folders_gives_two_rows(tmp_path: Path) -> None:
    for wnid in CLASSES:
        (tmp_path / "p" / wnid).mkdir(parents=True)
        Image.effect_noise((40, 40), 50).save(tmp_path / "p" / wnid / "same.png")
    run(config(tmp_path / "p", methods=["gradcam"], maps=3), tmp_path / "run")
    rows = table(tmp_path / "run")
    assert rows["image"].tolist() == [f"{wnid}/same.png" for wnid in CLASSES]
    assert rows["label"].tolist() == list(CLASSES.values())
    assert len(list((tmp_path / "run" / "maps").iterdir())) == 3


def test_mistakes_in_a_config_leave_no_folder(pictures: Path, tmp_path: Path) -> None:
    for changes, message in (
        ({"methods": ["gradcam", "gradcam"]}, "listed twice"),
        ({"timing": {"relative_to": "scorecam"}}, "timing.relative_to: 'scorecam' is not among the timed methods"),
        ({"timing": {"methods": ["nothing"]}}, "unknown method 'nothing'"),
        ({"classes": 1000}, "classes: 1000 is outside 0 to 999"),
        ({"classes": -1}, "classes: -1 is outside 0 to 999"),
        ({"backbone": {"model": "timm/test_resnet", "weights": "none", "layer": "layer9"}}, "did you mean 'layer4'"),
        (
            {"methods": ["cam"], "backbone": {"model": "timm/test_convnext", "weights": "none"}},
            "needs a head of global",
        ),
    ):
        with pytest.raises(UserError, match=message):
            run(config(pictures, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_timing_alone(pictures: Path, tmp_path: Path) -> None:
    settings = config(pictures, timing={"repeats": 1, "warmup": 0, "methods": ["gradcam"]}, limit=1)
    said: list[str] = []
    text = only_time(settings, tmp_path / "run", fresh=False, quiet=True, say=said.append)
    assert "gradcam" in text
    assert table(tmp_path / "run", "timing")["method"].tolist() == ["gradcam"] * 2
    assert not (tmp_path / "run/per_image.csv").exists()
    assert "finished" not in json.loads((tmp_path / "run/environment.json").read_text())
    run(settings, tmp_path / "run")
    assert len(table(tmp_path / "run")) == 2


def test_timing_alone_without_a_timing_part_leaves_no_folder(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the config has no 'timing:' part"):
        only_time(config(pictures), tmp_path / "run", fresh=False, quiet=True, say=print)
    assert not (tmp_path / "run").exists()


def test_timing_a_finished_run_leaves_it_finished(pictures: Path, tmp_path: Path) -> None:
    settings = config(pictures, timing={"repeats": 1, "warmup": 0}, limit=1)
    run(settings, tmp_path / "run")
    rows = (tmp_path / "run/per_image.csv").read_bytes()
    only_time(settings, tmp_path / "run", fresh=False, quiet=True, say=lambda *lines: None)
    assert (tmp_path / "run/per_image.csv").read_bytes() == rows
    assert "finished" in json.loads((tmp_path / "run/environment.json").read_text())


def test_timing_with_fewer_images_than_a_call_takes(pictures: Path, tmp_path: Path) -> None:
    for path in sorted(pictures.rglob("*.png"))[1:]:
        path.write_text("no image")
    settings = config(pictures, timing={"repeats": 1, "warmup": 0, "batch_size": 3}, methods=["gradcam"])
    run(settings, tmp_path / "run")
    assert set(table(tmp_path / "run", "timing")["batch_size"]) == {3}
