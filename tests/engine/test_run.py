"""Whole runs on a tiny network: tables, counts, protocols, picture sheets."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tiny_runs import CLASSES, FIXED, METRICS, config, draw_classes, environment, lines, run, table

from reciprocam_bench.config import parse_config
from reciprocam_bench.errors import UserError
from reciprocam_bench.protocols.protocol import load_protocol

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six images, finished."""
    place = tmp_path_factory.mktemp("finished")
    run(
        config(draw_classes(place / "pictures"), timing={"repeats": 1, "warmup": 0}, batch_size=4, maps=3),
        place / "run",
    )
    return place / "run"


def test_a_run_leaves_the_files_it_promises(finished: Path) -> None:
    assert sorted(p.name for p in finished.iterdir()) == [
        *("config.yaml", "environment.json", "images.csv", "maps"),
        *("per_image.csv", "raw_maps", "skipped.csv", "summary.csv", "timing.csv", "timing_rounds.csv"),
    ]


def test_methods_that_draw_take_the_runs_seed_unless_they_name_one(pictures: Path, tmp_path: Path) -> None:
    methods = ["random", {"name": "random", "seed": 0}, {"name": "random", "seed": 5, "label": "other"}]
    found = {}
    for seed in (0, 5):
        settings = config(pictures, methods=methods, metrics=["complexity"], classes=0, seed=seed)
        run(settings, tmp_path / str(seed))
        rows = table(tmp_path / str(seed))
        values = rows.pivot(index="image", columns="method", values="complexity")
        found[seed] = values
        same = "random[seed=0]" if seed == 0 else "other"
        assert values["random"].equals(values[same].rename("random"))
    assert (found[0]["random"] != found[5]["random"]).all()
    assert found[0]["random[seed=0]"].equals(found[5]["random[seed=0]"])
    definitions = [environment(tmp_path / seed)["definitions"] for seed in ("0", "5")]
    assert definitions[0] == definitions[1]  # so that runs of two seeds can be compared
    assert definitions[0]["methods"]["other"]["options"] == {"seed": 5}


def test_per_image_has_a_row_per_image_and_method(finished: Path) -> None:
    rows = table(finished)
    assert list(rows.columns) == FIXED + METRICS
    assert len(rows) == 12
    assert rows["method"].tolist() == ["gradcam", "reciprocam"] * 6
    assert rows["image"].tolist()[::2] == table(finished, "images")["image"].tolist()
    assert rows["image"].nunique() == 6
    assert set(rows["status"]) == {"ok"}
    assert [CLASSES[image.partition("/")[0]] for image in rows["image"]] == rows["label"].tolist()
    assert (rows["class"] == rows["predicted"]).all()
    assert rows[METRICS].notna().all(axis=None)
    assert rows["increase"].isin([0, 1]).all()
    assert rows[["probability", *METRICS]].to_numpy().min() >= 0
    assert rows[["probability", *METRICS]].to_numpy().max() <= 1


def test_the_classes_of_its_rows_are_named(finished: Path) -> None:
    rows, names = table(finished), environment(finished)["class_names"]
    assert names.keys() == {str(i) for column in ("class", "predicted", "label") for i in rows[column]}
    assert (names["0"], names["207"], names["497"]) == ("tench", "golden retriever", "church")


def test_summary_is_in_percent_with_the_columns_it_promises(finished: Path) -> None:
    rows, summary = table(finished), table(finished, "summary").set_index("method")
    expected = ["backbone", "dataset", "protocol", "protocol_version", "images", "images_total"]
    expected += ["constant", "nan", "errors", "top1", "classes"]
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
        assert row[["images", "images_total", "constant", "nan", "errors"]].tolist() == [6, 6, 0, 0, 0]
        assert row["top1"] == pytest.approx(100 * (rows["label"] == rows["predicted"]).mean(), abs=1e-3)


def test_environment_holds_what_a_reader_needs(finished: Path) -> None:
    content = environment(finished)
    needed = {"rcam-bench", "packages", "device", "threads", "precision", "commit", "seed", "date", "finished"}
    assert needed <= set(content)
    assert (content["format"], content["images"], content["images_total"]) == (2, 6, 6)
    assert list(content["definitions"]["methods"]) == ["gradcam", "reciprocam"]
    assert content["definitions"]["metrics"]["adcc"]["aggregation"] == "harmonic-mean"
    choices = load_protocol("poppi-2021").choices
    assert content["definitions"]["protocols"] == {
        "poppi-2021": {"version": 1, "classes": "predicted", "choices": choices}
    }
    assert [set(start) for start in content["starts"]] == [{"date", "commit", "rcam-bench", "processes"}]
    assert {"read images", "forward", "explain", "metrics", "pictures", "timing"} <= set(content["seconds"])
    assert all(seconds >= 0 for seconds in content["seconds"].values())
    for phase, parts in (("explain", content["definitions"]["methods"]), ("metrics", content["metrics"])):
        found = {name: s for name, s in content["seconds"].items() if name.startswith(f"{phase}: ")}
        assert list(found) == [f"{phase}: {part}" for part in parts]
        assert sum(found.values()) == pytest.approx(content["seconds"][phase], abs=0.05)


def test_saved_config_runs_again_as_the_same_experiment(finished: Path) -> None:
    saved = yaml.safe_load((finished / "config.yaml").read_text())
    assert parse_config(saved, "saved").batch_size == 4
    assert "holds this run, finished" in run(parse_config(saved, "saved"), finished)


def test_sheets_are_written_for_the_first_images(finished: Path, tmp_path: Path, pictures: Path) -> None:
    first = table(finished, "images")["image"][:3]
    expected = [f"{n:03d}_{Path(image).stem}.png" for n, image in enumerate(first)]
    assert sorted(p.name for p in (finished / "maps").iterdir()) == [*expected, "figure.png"]
    for path in (finished / "maps").iterdir():
        with Image.open(path) as sheet:
            assert sheet.width == 1110  # three panels and the colour bar
            assert len(sheet.convert("RGB").getcolors(1 << 24)) > 100
    run(config(pictures, limit=1), tmp_path / "run")
    assert not (tmp_path / "run" / "maps").exists()


def test_sheets_go_on_in_the_next_batch_and_stop_at_the_last_image(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, maps=50, limit=5, methods=["gradcam"]), tmp_path / "run")
    assert [p.name[:3] for p in sorted((tmp_path / "run/maps").iterdir())] == [
        *("000", "001", "002", "003", "004", "fig")
    ]


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
