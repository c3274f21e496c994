"""``report --paper`` on run folders written by hand, whose answers are known."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_runs import calls, rows, time, values, write

from reciprocam_bench.errors import UserError
from reciprocam_bench.protocols.papers import load_paper
from reciprocam_bench.protocols.published import printed
from reciprocam_bench.reporting.paper import paper_report
from reciprocam_bench.reporting.summary import write_tables
from reciprocam_bench.runfolder.suite import begin_suite

pytestmark = pytest.mark.slow

IMAGES = 40
RECIPRO, GAUSSIAN, SCORE = "reciprocam", "reciprocam[mask=gaussian]", "scorecam"
REFERENCE, PEER = "reciprocam[path=reference]", "torchcam:ScoreCAM"
OPTIONS = {
    GAUSSIAN: {"name": "reciprocam", "options": {"mask": "gaussian"}},
    REFERENCE: {"name": "reciprocam", "options": {"path": "reference"}},
}
WHOLE = {"gradcam": -0.1, "gradcam++": -0.1, "smoothgradcam++": -0.1, SCORE: -0.1, RECIPRO: 0.1}


def run(path: Path, better: dict[str, float], model: str = "resnet18", images: int = IMAGES, **changes: Any) -> Path:
    """A run under recipro-2024 whose methods are so much better than one another, image by image."""
    methods = {}
    for i, (method, step) in enumerate(better.items()):
        methods[method] = values(images, 0, step)
        methods[method]["average_drop"] += np.random.default_rng(i + 1).normal(0, 0.01, images)
    backbone = {"model": f"torchvision/{model}", "weights": "IMAGENET1K_V1", **changes.pop("backbone", {})}
    config = {"protocol": ["recipro-2024"], "backbone": backbone, **changes.pop("config", {})}
    definitions = {title: OPTIONS[title] for title in better if title in OPTIONS}
    folder = write(path, rows(methods, ["recipro-2024"]), config=config, definitions=definitions, **changes)
    write_tables(folder)
    return folder


def cells(*folders: Path, paper: str = "recipro-2024") -> pd.DataFrame:
    return pd.read_csv(io.StringIO(paper_report(folders, "csv", paper)))


def claims(*folders: Path, kind: str = "difference", paper: str = "recipro-2024") -> pd.DataFrame:
    table = pd.read_csv(io.StringIO(paper_report(folders, "csv", paper, ["claims"])), keep_default_na=False)
    return table[table["kind"] == kind]


def verdict_of(table: pd.DataFrame, backbone: str = "torchvision/resnet18", method: str = RECIPRO) -> str:
    (row,) = table[(table["backbone"] == backbone) & (table["method"] == method)].itertuples()
    return str(row.verdict)


def test_every_cell_has_ours_the_published_value_the_difference_and_who_measured_it(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", WHOLE)
    table = cells(folder)
    assert len(table) == 6 * 5 * 7
    mine = table[(table["backbone"] == "torchvision/resnet18") & (table["metric"] == "adcc")].set_index("method")
    summary = pd.read_csv(folder / "summary.csv").set_index("method")
    assert list(mine.index) == [m.id for m in load_paper("recipro-2024").methods]
    for method, row in mine.iterrows():
        assert row["ours"] == pytest.approx(summary.loc[method, "adcc"], abs=1e-3)
        assert row["low"] < row["ours"] < row["high"] and row["images"] == IMAGES and row["status"] == "measured"
        assert row["difference"] == pytest.approx(row["ours"] - row["published"], abs=1e-3)
    assert mine.loc[RECIPRO, "published"] == 79.08 and mine.loc[SCORE, "published"] == 77.30
    assert mine.loc[RECIPRO, "measured_by"].startswith("measured by Byun and Lee 2024")
    assert mine.loc[SCORE, "measured_by"] == "copied by Byun and Lee 2024 (Table 1) from Poppi et al. 2021"


def test_what_no_run_holds_is_not_measured_and_never_guessed(tmp_path: Path) -> None:
    table = cells(run(tmp_path / "run", {RECIPRO: 0.0}))
    other = table[(table["backbone"] != "torchvision/resnet18") | (table["method"] != RECIPRO)]
    assert (
        set(other["status"]) == {"not measured"}
        and other[["ours", "low", "difference", "images"]].isna().to_numpy().all()
    )
    assert table["published"].notna().all()
    mine = table[table["status"] == "measured"]
    assert list(mine["metric"]) == ["average_drop", "increase", "coherency", "complexity", "adcc"]


def test_both_masks_stand_where_both_were_measured(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {RECIPRO: 0.1, GAUSSIAN: 0.2, SCORE: 0.0})
    table = cells(folder)
    mine = table[(table["status"] == "measured") & (table["metric"] == "adcc") & (table["method"] == RECIPRO)]
    assert list(mine["variant"]) == [RECIPRO, GAUSSIAN] and mine["ours"].is_monotonic_increasing
    assert set(claims(folder)["method"]) == {RECIPRO, GAUSSIAN}
    text = paper_report([folder], "markdown", "recipro-2024")
    assert "| ReciproCAM (reciprocam[mask=gaussian]) " in text


def test_runs_of_several_backbones_are_one_table_and_the_larger_run_stands(tmp_path: Path) -> None:
    small = run(tmp_path / "small", WHOLE, images=10)
    runs = small, run(tmp_path / "large", WHOLE), run(tmp_path / "r50", WHOLE, "resnet50")
    for given in (runs, runs[::-1]):
        of_claims = claims(*given)
        assert set(of_claims.loc[of_claims["backbone"] == "torchvision/resnet18", "images"]) == {str(IMAGES)}
    table = cells(*runs)
    mine = table[table["status"] == "measured"]
    assert set(mine["backbone"]) == {"torchvision/resnet18", "torchvision/resnet50"}
    assert set(mine["images"]) == {IMAGES} and {Path(r).name for r in mine["run"]} == {"large", "r50"}


@pytest.mark.parametrize(
    ("gain", "word"), [(0.1, "holds"), (-0.1, "does not hold"), (0.0, "cannot be told"), (None, "not measured")]
)
def test_a_difference_claim(tmp_path: Path, gain: float | None, word: str) -> None:
    found = claims(run(tmp_path / "run", {SCORE: 0.0, RECIPRO: gain} if gain is not None else {RECIPRO: 0.1}))
    assert verdict_of(found) == word
    assert verdict_of(found, "torchvision/resnet50") == "not measured"
    assert verdict_of(found, "all of these") == ("does not hold" if word == "does not hold" else "not measured")
    (row,) = found[found["backbone"] == "torchvision/resnet18"].to_dict("records")
    assert float(row["published"]) == 1.78 and (row["published_inside"] == "") == (word == "not measured")
    if word == "not measured":
        assert row["detail"] == "no run of scorecam" and row["ours"] == ""


def test_it_holds_of_all_where_it_holds_of_each(tmp_path: Path) -> None:
    claim = load_paper("recipro-2024").claims[0]
    models = [name.partition("/")[2] for name in claim.backbones]  # type: ignore[union-attr]
    folders = [run(tmp_path / model, {SCORE: 0.0, RECIPRO: 0.1}, model) for model in models]
    found = claims(*folders)
    assert set(found["verdict"]) == {"holds"} and found["detail"].iloc[-1] == "4 holds"


@pytest.mark.parametrize(
    ("change", "word", "detail"),
    [
        ({}, "holds", "better than gradcam, gradcam++, smoothgradcam++, scorecam"),
        ({"gradcam": 0.3}, "does not hold", "worse than gradcam; better than gradcam++, smoothgradcam++, scorecam"),
        (
            {SCORE: 0.1},
            "cannot be told",
            "better than gradcam, gradcam++, smoothgradcam++; cannot be told from scorecam",
        ),
    ],
)
def test_the_best_is_better_than_every_other(tmp_path: Path, change: dict, word: str, detail: str) -> None:
    found = claims(run(tmp_path / "run", WHOLE | change), kind="best")
    assert verdict_of(found) == word
    (row,) = found[found["backbone"] == "torchvision/resnet18"].to_dict("records")
    assert row["detail"] == detail and (not change or row["against"] == next(iter(change)))


def test_the_best_is_not_known_without_every_other_unless_one_is_better(tmp_path: Path) -> None:
    some = {"gradcam": 0.0, RECIPRO: 0.1}
    assert verdict_of(claims(run(tmp_path / "a", some), kind="best")) == "not measured"
    assert verdict_of(claims(run(tmp_path / "b", some | {"gradcam": 0.3}), kind="best")) == "does not hold"


def timed(path: Path, ratio: float, methods: tuple[str, str] = (REFERENCE, PEER), size: int = 1) -> Path:
    noise = np.random.default_rng(0).normal(1, 0.01, 30)
    config = {"timing": {"methods": list(methods), "relative_to": methods[1], "batch_size": size}}
    folder = run(path / "timed", {RECIPRO: 0.0}, config=config)
    return time(folder, calls({methods[0]: np.full(30, 2.0), methods[1]: 2 * ratio * noise}, size=size), methods[1])


@pytest.mark.parametrize(("ratio", "word"), [(200.0, "holds"), (50.0, "does not hold"), (148.0, "cannot be told")])
def test_a_speed_up_claim_is_judged_by_the_papers_own_pair(tmp_path: Path, ratio: float, word: str) -> None:
    (row,) = claims(timed(tmp_path, ratio), kind="speedup").to_dict("records")
    assert (row["method"], row["against"], row["verdict"]) == (REFERENCE, PEER, word)
    assert float(row["ours"]) == pytest.approx(ratio, rel=0.02) and float(row["published"]) == 148
    assert row["low"] < row["ours"] < row["high"] and row["detail"].startswith("end-to-end, batch 1, ")


@pytest.mark.parametrize(
    ("methods", "size"),
    [((RECIPRO, SCORE), 1), ((RECIPRO, PEER), 1), ((REFERENCE, SCORE), 1), ((REFERENCE, PEER), 8)],
)
def test_other_implementations_and_batches_say_nothing_of_it(tmp_path: Path, methods: tuple, size: int) -> None:
    (row,) = claims(timed(tmp_path, 200.0, methods, size), kind="speedup").to_dict("records")
    assert row["verdict"] == "not measured" and row["ours"] == "" and "times no such pair" in row["detail"]


def test_without_times_it_is_not_measured(tmp_path: Path) -> None:
    (row,) = claims(run(tmp_path / "run", WHOLE), kind="speedup").to_dict("records")
    assert (row["backbone"], row["verdict"], row["detail"]) == ("any", "not measured", "no run was timed")


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"backbone": {"weights": "none"}}, r"is left out: its weights are random \(weights: none\)"),
        ({"model": "resnet34"}, "is left out: torchvision/resnet34 is no network of the table"),
        ({"dataset": "samples"}, "is left out: its data set is samples, the table's imagenet"),
        ({"backbone": {"layer": "layer3"}}, "is left out: its layer is 'layer3'"),
        ({"config": {"preprocess": "model"}}, "is left out: its preprocess is model"),
        ({"config": {"classes": "predicted"}}, "is left out: it explains classes 'predicted', recipro-2024 label"),
        (
            {"protocols": {"recipro-2024": {"version": 7, "classes": "label"}}, "config": {}},
            "is left out: its recipro-2024 is of version 7, the one here of 1; run it again",
        ),
    ],
)
def test_a_run_that_cannot_stand_there_is_left_out_with_a_line(tmp_path: Path, changes: dict, note: str) -> None:
    protocols = {"recipro-2024": {"version": 1, "classes": "label"}} | changes.pop("protocols", {})
    folder = run(tmp_path / "run", WHOLE, protocols=protocols, **changes)
    assert set(cells(folder)["status"]) == {"not measured"}
    with_notes = paper_report([folder], "markdown", "recipro-2024")
    (line,) = (line for line in with_notes.splitlines() if "left out" in line)
    assert re.search(note, line)


def test_a_suite_stands_for_its_runs_and_a_folder_of_times_for_its_times(tmp_path: Path) -> None:
    for model in ("resnet18", "resnet50"):
        run(tmp_path / "suite" / model, WHOLE, model)
    begin_suite(tmp_path / "suite", ["resnet18", "resnet50"])
    times = timed(tmp_path, 200.0)
    for name in ("per_image.csv", "summary.csv"):
        (times / name).unlink()
    folders = [tmp_path / "suite", times]
    measured = cells(*folders).query("status == 'measured'")
    assert set(measured["backbone"]) == {"torchvision/resnet18", "torchvision/resnet50"}
    assert verdict_of(claims(*folders, kind="speedup"), method=REFERENCE) == "holds"
    assert "left out" not in paper_report(folders, "markdown", "recipro-2024")


def test_each_protocol_of_the_paper_has_a_table_and_its_own_verdicts(tmp_path: Path) -> None:
    methods = {SCORE: values(IMAGES, 0), RECIPRO: values(IMAGES, 0, 0.1)}
    both = rows(methods, ["poppi-2021", "recipro-2024"])
    # Under one of them the two change places.
    swapped = both["protocol"] == "poppi-2021"
    both.loc[swapped, "method"] = both.loc[swapped, "method"].map({SCORE: RECIPRO, RECIPRO: SCORE})
    folder = write(tmp_path / "run", both, config={"protocol": ["poppi-2021", "recipro-2024"]})
    write_tables(folder)
    found = claims(folder)
    verdicts = {p: verdict_of(part) for p, part in found.groupby("protocol")}
    assert verdicts == {"recipro-2024": "holds", "poppi-2021": "does not hold"}
    assert paper_report([folder], "markdown", "recipro-2024").count("Table 1 of") == 2


def test_notes_say_how_a_run_differs_from_the_papers(tmp_path: Path) -> None:
    text = paper_report([run(tmp_path / "run", WHOLE, backbone={"weights": "default"})], "markdown", "recipro-2024")
    assert f"run: {IMAGES} images, published values are of all 50000." in text
    assert "its weights are 'default', the paper's IMAGENET1K_V1." in text
    assert text.count("published values are of all") == 1
    assert "[a] copied by Byun and Lee 2024 (Table 1) from Poppi et al. 2021; [b] measured by Byun" in text


@pytest.mark.parametrize(("sha256", "told"), [("f37072fd" + "0" * 56, False), ("fc4c0bb1" + "0" * 56, True)])
def test_weights_of_the_papers_name_in_another_file_are_told(tmp_path: Path, sha256: str, told: bool) -> None:
    text = paper_report([run(tmp_path / "run", WHOLE, fingerprint={"weights": sha256})], "markdown", "recipro-2024")
    line = "its weights are another file than IMAGENET1K_V1: SHA-256 fc4c0bb1…, not f37072fd…."
    assert (line in text) == told


def test_runs_of_two_networks_under_one_name_are_refused(tmp_path: Path) -> None:
    one, two = run(tmp_path / "one", WHOLE), run(tmp_path / "two", WHOLE, fingerprint={"weights": "b" * 64})
    with pytest.raises(UserError, match=r"two cannot be compared with .*one: weights"):
        claims(one, two)


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", WHOLE)
    for arguments, message in (
        (("markdown", "recipro"), r"--paper recipro: no such paper; did you mean 'recipro-2024'\?"),
        (("pdf", "recipro-2024"), "--format pdf: choose one of"),
        (("csv", "recipro-2024", ["timing"]), "--part timing: choose one of table, claims"),
    ):
        with pytest.raises(UserError, match=message):
            paper_report([folder], *arguments)
    with pytest.raises(UserError, match="a run folder is given twice"):
        paper_report([folder, folder], "csv", "recipro-2024")


@pytest.mark.parametrize("paper", ["recipro-2024", "torchray-2019", "vit-reciprocam-2023"])
def test_every_paper_prints_in_every_format(tmp_path: Path, paper: str) -> None:
    folder = run(tmp_path / "run", WHOLE)
    for form in ("markdown", "terminal", "latex"):
        text = paper_report([folder], form, paper)
        assert "not measured" in text and "Claims of" in text
    made = cells(folder, paper=paper)
    assert len(made) == sum(len(p.values) for p in printed(paper).values())


def test_the_best_of_ours_and_of_the_published_is_bold_in_latex_and_nothing_else(tmp_path: Path) -> None:
    lines = paper_report([run(tmp_path / "run", WHOLE)], "latex", "recipro-2024", ["table"]).splitlines()
    of_resnet = {tuple(line.split(" & ")[1:3]): line for line in lines if line.startswith("ResNet-18")}
    bold = {key: line.rstrip(" \\").split(" & ")[-2].startswith(r"\textbf{") for key, line in of_resnet.items()}
    best = "ReciproCAM (reciprocam)"
    assert [key for key, is_bold in bold.items() if is_bold] == [(best, "ours"), (best, "published")]
