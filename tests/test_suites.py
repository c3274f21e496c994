"""Several backbones in one config: run, stopped, grown, reported, compared and checked as a whole."""

import io
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import tiny_runs
import torch
import yaml
from small_runs import rows, values, write

from reciprocam_bench.cli import main
from reciprocam_bench.config import Config
from reciprocam_bench.config_backbone import BackboneConfig
from reciprocam_bench.config_file import Suite, load_config, load_experiments
from reciprocam_bench.engine import steps
from reciprocam_bench.engine.run import Screen
from reciprocam_bench.engine.suite import each_backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.gate.outcome import check_against, write_update
from reciprocam_bench.reporting.compare import compare
from reciprocam_bench.reporting.report import report
from reciprocam_bench.runfolder.suite import SUITE, begin_suite, folder_names, run_folders

TWO = ["timm/test_resnet", {"model": "timm/test_efficientnet", "weights": "none"}]
NAMES = ["timm-test_resnet", "timm-test_efficientnet"]


def network(**keys: object) -> BackboneConfig:
    return BackboneConfig.model_validate({"model": "torchvision/resnet18", **keys})


def config(path: Path, backbones: object, **changes: object) -> Path:
    root = tiny_runs.draw_plain(path.parent / "images", 3)
    path.write_text(yaml.safe_dump(tiny_runs.settings(root, backbone=backbones, **changes)))
    return path


def call(*words: object) -> int:
    sys.argv = ["rcam-bench", *map(str, words)]
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_folders_are_named_after_models_and_what_else_differs() -> None:
    assert folder_names([network(), network(model="timm/resnet18")]) == ["torchvision-resnet18", "timm-resnet18"]
    layers = [network(layer="layer3"), network(weights="/a/b/mine.pth", layer="layer4")]
    assert folder_names(layers) == ["torchvision-resnet18-default-layer3", "torchvision-resnet18-mine.pth-layer4"]
    with pytest.raises(UserError, match="two of the list are the same, 'torchvision-resnet18'; give each once"):
        folder_names([network(), network()])


def test_checkpoints_of_one_file_name_are_told_apart_by_their_folders() -> None:
    names = folder_names([network(weights=f"runs/seed{seed}/best.pth") for seed in range(2)])
    assert names == ["torchvision-resnet18-runs-seed0-best.pth", "torchvision-resnet18-runs-seed1-best.pth"]


def test_a_name_that_a_run_has_is_given_to_no_other() -> None:
    plain, headed, other = network(), network(head="h.safetensors"), network(model="torchvision/resnet50")
    begun = dict(zip(folder_names([other, headed]), [other, headed], strict=True))
    names = folder_names([other, headed, plain], begun)
    assert names[:2] == list(begun) and names[2] not in begun and len(set(names)) == 3


def test_a_damaged_list_is_written_anew_by_a_run(tmp_path: Path) -> None:
    first = {"model": "timm/test_resnet", "weights": "none"}
    path = config(tmp_path / "one.yaml", [first])
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / SUITE).write_text("runs: []\n")
    assert call("run", path, "--output", tmp_path / "suite", "--quiet") == 0
    assert [folder.name for folder in run_folders(tmp_path / "suite")] == ["timm-test_resnet"]


def test_a_longer_list_goes_on_with_the_runs_that_are_there(tmp_path: Path) -> None:
    first = {"model": "timm/test_resnet", "weights": "none"}
    assert call("run", config(tmp_path / "one.yaml", [first]), "--output", tmp_path / "suite", "--quiet") == 0
    rows = tmp_path / "suite/timm-test_resnet/per_image.csv"
    before = rows.stat().st_mtime_ns
    longer = config(tmp_path / "two.yaml", [first, {**first, "layer": "layer3"}])
    assert call("run", longer, "--output", tmp_path / "suite", "--quiet") == 0
    names = [folder.name for folder in run_folders(tmp_path / "suite")]
    assert names[0] == "timm-test_resnet" and names[1].endswith("layer3")
    assert rows.stat().st_mtime_ns == before and len(names) == 2


def test_a_list_makes_a_config_for_each_and_overrides_are_of_each(tmp_path: Path) -> None:
    path = config(tmp_path / "suite.yaml", TWO)
    found = load_experiments(str(path), ("backbone.weights=none", "seed=3"), limit=2)
    assert isinstance(found, Suite)
    assert [c.backbone.model for c in found.configs] == ["timm/test_resnet", "timm/test_efficientnet"]
    assert {(c.backbone.weights, c.seed, c.limit) for c in found.configs} == {("none", 3, 2)}
    one = load_experiments(str(path), ("backbone={model: timm/test_vit}", "backbone.weights=none"))
    assert not isinstance(one, Suite) and one.config.backbone.model == "timm/test_vit"


@pytest.mark.parametrize(
    ("backbones", "said"),
    [
        ([], "backbone: the list is empty"),
        ([{"model": "a/b", "lair": "x"}], "backbone 1 of the list: unknown key 'backbone.lair'; did you mean 'layer'?"),
        (["a/b", 3], "backbone 2 of the list: backbone"),
    ],
)
def test_a_wrong_list_is_told_by_its_place(tmp_path: Path, backbones: list, said: str) -> None:
    with pytest.raises(UserError) as refused:
        load_experiments(str(config(tmp_path / "suite.yaml", backbones)))
    assert said in str(refused.value)


def test_what_takes_one_network_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="backbone is a list of 2; one is needed here: --set"):
        load_config(str(config(tmp_path / "suite.yaml", TWO)))


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of two networks that has run."""
    folder = tmp_path_factory.mktemp("suite")
    timing = {"repeats": 2, "warmup": 0, "relative_to": "gradcam"}
    path = config(folder / "two.yaml", TWO, timing=timing)
    assert call("run", path, "--output", folder / "runs", "--set", "backbone.weights=none", "--quiet") == 0
    return folder


@pytest.mark.slow
def test_each_backbone_has_a_run_of_its_own(suite: Path) -> None:
    assert yaml.safe_load((suite / "runs" / SUITE).read_text()) == {"runs": NAMES}
    assert run_folders(suite / "runs") == [suite / "runs" / name for name in NAMES]
    found = pd.read_csv(io.StringIO(report(suite / "runs", "csv")))
    assert list(found["backbone"]) == ["timm/test_resnet"] * 2 + ["timm/test_efficientnet"] * 2
    times = report(suite / "runs", "markdown", ["timing"])
    assert "| backbone" in times and "| timm/test_efficientnet |" in times


@pytest.mark.slow
def test_it_goes_on_as_a_whole(suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {name: tiny_runs.tables(suite / "runs" / name) for name in NAMES}
    runs = shutil.copytree(suite / "runs", tmp_path / "runs")
    shutil.rmtree(runs / NAMES[1])
    tiny_runs.unfinish(runs / NAMES[0])
    judged = tiny_runs.counted(monkeypatch, steps, "judge")
    assert call("run", suite / "two.yaml", "--output", runs, "--set", "backbone.weights=none", "--quiet") == 0
    assert {name: tiny_runs.tables(runs / name) for name in NAMES} == whole and len(judged) == 2


@pytest.mark.slow
def test_one_more_backbone_costs_that_one_alone(suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = shutil.copytree(suite / "runs", tmp_path / "runs")
    more = [*TWO, {"model": "torchvision/squeezenet1_1", "weights": "none"}]
    content = yaml.safe_load((suite / "two.yaml").read_text()) | {"backbone": more}
    (tmp_path / "three.yaml").write_text(yaml.safe_dump(content))
    judged = tiny_runs.counted(monkeypatch, steps, "judge")
    words = ("--output", runs, "--set", "backbone.weights=none", "--quiet")
    assert call("run", tmp_path / "three.yaml", *words) == 0
    assert [sum(len(work.batch.samples) for work in todo) for _, todo in judged] == [0, 0, 3]
    assert yaml.safe_load((runs / SUITE).read_text())["runs"] == [*NAMES, "torchvision-squeezenet1_1"]
    assert {name: tiny_runs.tables(runs / name) for name in NAMES} == {
        name: tiny_runs.tables(suite / "runs" / name) for name in NAMES
    }


@pytest.mark.slow
def test_a_backbone_that_cannot_be_run_does_not_end_the_others(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = config(
        tmp_path / "bad.yaml", [{"model": "timm/no_such_net"}, {"model": "timm/test_resnet", "weights": "none"}]
    )
    assert call("run", path, "--output", tmp_path / "runs", "--limit", 1) == 2
    said = capsys.readouterr().err
    last = said.splitlines()[-1]
    assert "1 of 2 backbones could not be run: timm-no_such_net: timm has no model 'no_such_net'" in last
    assert "the same command goes on" in last and "[2/2] judging: 1/1 images" in said
    assert [folder.name for folder in run_folders(tmp_path / "runs")] == ["timm-test_resnet"]


@pytest.mark.parametrize(
    "full", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory: 9 B")]
)
def test_a_backbone_that_does_not_fit_does_not_end_the_others(tmp_path: Path, full: Exception) -> None:
    configs = load_experiments(str(config(tmp_path / "two.yaml", TWO))).configs  # type: ignore[union-attr]
    done = []

    def do(one: Config, path: Path, screen: Screen) -> None:
        if one is configs[0]:
            raise full
        done.append(one)

    with pytest.raises(UserError, match=r"1 of 2 backbones could not be run: .*: out of memory: set a smaller batch"):
        each_backbone(configs, tmp_path / "runs", Screen(True, lambda *lines: None), do)
    assert done == [configs[1]]
    full = RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        each_backbone(configs, tmp_path / "runs", Screen(True, lambda *lines: None), do)


@pytest.mark.slow
def test_what_is_wrong_for_all_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = config(tmp_path / "bad.yaml", TWO, dataset={"name": "folder", "root": str(tmp_path / "none")})
    words = ("--output", tmp_path / "runs", "--set", "backbone.weights=none", "--quiet")
    assert call("run", path, *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rcam-bench: 2 of 2 backbones could not be run: timm-test_resnet, timm-test_efficientnet: ")
    assert line.count("is not a folder") == 1


@pytest.mark.slow
def test_validate_checks_each(suite: Path, capsys: pytest.CaptureFixture) -> None:
    assert call("validate", suite / "two.yaml", "--set", "backbone.weights=none") == 0
    assert capsys.readouterr().out.count("head(features(x))") == 2


def small(path: Path, better: float = 0.0) -> Path:
    begin_suite(path, ["a", "b"])
    for seed, name in enumerate("ab"):
        models = {"backbone": {"model": f"torchvision/{name}", "weights": "none"}}
        methods = {"cam": values(20, seed), "reciprocam": values(20, seed + 9, better)}
        write(path / name, rows(methods), config=models)
    return path


def test_compare_works_backbone_by_backbone(tmp_path: Path) -> None:
    suite = small(tmp_path / "suite", 0.3)
    found = pd.read_csv(io.StringIO(compare([suite], "csv", metrics=["adcc"])))
    assert list(found["backbone"]) == ["torchvision/a", "torchvision/b"] and set(found["verdict"]) == {"better"}
    assert (suite / "comparison.csv").is_file() and not (suite / "a/comparison.csv").exists()
    later = small(tmp_path / "later", 0.3)
    found = pd.read_csv(io.StringIO(compare([suite, later], "csv", metrics=["adcc"])))
    assert set(found[found["family"] == "runs"]["difference"]) == {0}
    assert compare([suite], "markdown", metrics=["adcc"]).count("paired differences") == 2
    with pytest.raises(UserError, match=r"is a run, .* a suite of runs"):
        compare([suite, later / "a"], "csv")
    begin_suite(later, ["a"])
    with pytest.raises(UserError, match="'b' is not a run of every suite"):
        compare([suite, later], "csv")


def test_check_has_a_baseline_for_each(tmp_path: Path) -> None:
    suite = small(tmp_path / "suite")
    said = write_update(suite, tmp_path / "baselines")
    assert said.count("written to") == 2 and (tmp_path / "baselines/a.json").is_file()
    text, _, failed = check_against(suite, tmp_path / "baselines", "csv", 100, False, {})
    found = pd.read_csv(io.StringIO(text))
    assert not failed and len(found) == 20 and found["checked"].str.startswith(("a: ", "b: ")).all()
    table = rows({"cam": values(20, 1, -0.05), "reciprocam": values(20, 10)})
    write(suite / "b", table, config={"backbone": {"model": "torchvision/b", "weights": "none"}})
    text, _, failed = check_against(suite, tmp_path / "baselines", "csv", 100, False, {})
    found = pd.read_csv(io.StringIO(text))
    assert failed and found[found["verdict"] == "worse"]["checked"].str.startswith("b: ").all()
    with pytest.raises(UserError, match="is a suite of runs; give --against a folder"):
        check_against(suite, tmp_path / "baselines/a.json", "csv", 100, False, {})


def test_a_suite_of_which_a_run_is_missing_does_not_pass(tmp_path: Path) -> None:
    suite = small(tmp_path / "suite")
    write_update(suite, tmp_path / "baselines")
    (tmp_path / "baselines/gone.json").write_text((tmp_path / "baselines/b.json").read_text())
    text, _, _ = check_against(suite, tmp_path / "baselines", "markdown", 100, False, {})
    assert f"{tmp_path / 'baselines'} holds baselines of runs that {suite} does not list: gone" in text
    shutil.rmtree(suite / "b")
    with pytest.raises(UserError, match="b was not run, so it cannot be checked against"):
        check_against(suite, tmp_path / "baselines", "markdown", 100, False, {})


def test_a_suite_and_a_run_do_not_share_a_folder(tmp_path: Path) -> None:
    run = write(tmp_path / "run", rows({"cam": values(3)}))
    with pytest.raises(UserError, match="holds a run of one network; give --output another folder"):
        begin_suite(run, ["a"])
    suite = small(tmp_path / "suite")
    path = config(tmp_path / "one.yaml", {"model": "timm/test_resnet", "weights": "none"})
    assert call("run", path, "--output", suite, "--quiet") == 2


@pytest.mark.parametrize(
    "content", ["runs: []", "runs: a", "x: 1", "runs: [../up]", "runs: [a, 3]", "- a", "runs: [/etc]"]
)
def test_a_damaged_list_of_runs_is_told(tmp_path: Path, content: str) -> None:
    suite = small(tmp_path / "suite")
    (suite / SUITE).write_text(content)
    with pytest.raises(UserError, match=r"suite\.yaml"):
        report(suite, "csv")


def test_a_suite_without_runs_says_so(tmp_path: Path) -> None:
    begin_suite(tmp_path / "suite", ["a"])
    with pytest.raises(UserError, match="holds no run yet; run the suite first"):
        report(tmp_path / "suite", "csv")
