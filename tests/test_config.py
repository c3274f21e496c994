"""The config schema: precedence, base files, environment variables, and the words for each mistake."""

from pathlib import Path

import pytest
import yaml

from reciprocam_bench.config import Config, dump_config, parse_config
from reciprocam_bench.config_file import Suite, find_config, load_config, load_experiments
from reciprocam_bench.errors import UserError
from reciprocam_bench.yaml_file import read_yaml

MINIMAL = {"backbone": {"model": "timm/x"}, "dataset": {"name": "folder", "root": "pics"}, "methods": ["gradcam"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(name: str = "c.yaml", **changes: object) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(yaml.safe_dump({**MINIMAL, **changes}), encoding="utf-8")
    return name


def load(name: str, overrides: tuple[str, ...] = (), **values: object) -> Config:
    config, notes = load_config(name, overrides, **values)
    assert notes == []
    return config


def mistake(*overrides: str, **changes: object) -> str:
    with pytest.raises(UserError) as caught:
        load(save(**changes), overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_command_line_beats_set_beats_yaml_beats_default() -> None:
    name = save(batch_size=4, maps=5)
    assert load(save("plain.yaml")).batch_size == 8
    assert load(name).batch_size == 4
    assert load(name, ("batch_size=2", "limit=9")).batch_size == 2
    config = load(name, ("batch_size=2", "limit=9"), limit=3, device=None)
    assert (config.limit, config.batch_size, config.maps, config.device) == (3, 2, 5, "auto")


def test_base_is_overlaid_by_the_file_that_names_it() -> None:
    save("configs/parent.yaml", batch_size=4, seed=7)
    Path("configs/child.yaml").write_text("base: parent.yaml\nbatch_size: 2\n")
    config = load("child")
    assert (config.batch_size, config.seed, config.backbone.model) == (2, 7, "timm/x")
    assert load("child", ("seed=8",)).seed == 8


def test_base_by_bare_name_from_another_folder() -> None:
    save("configs/parent.yaml", seed=7)
    Path("elsewhere").mkdir()
    Path("elsewhere/child.yaml").write_text("base: parent\n")
    assert load("elsewhere/child.yaml").seed == 7


def test_base_of_a_base_is_refused() -> None:
    save("grandparent.yaml")
    Path("parent.yaml").write_text("base: grandparent.yaml\n")
    Path("child.yaml").write_text("base: parent.yaml\n")
    with pytest.raises(UserError, match=r"^child.yaml: base: parent.yaml has a base itself; only one level"):
        load("child.yaml")


@pytest.mark.parametrize("base, match", [([1], "base: must name a file"), ("nowhere", "config 'nowhere' not found")])
def test_bad_base(base: object, match: str) -> None:
    assert match in mistake(base=base)


def test_environment_variables_are_filled_in_late_and_saved_unexpanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCAM_A", "/data")
    monkeypatch.setenv("RCAM_B", "val")
    config = load(save(dataset={"name": "folder", "root": "${RCAM_A}/x/${RCAM_B}", "labels": "plain"}))
    assert config.dataset.options == {"root": "/data/x/val", "labels": "plain"}
    assert yaml.safe_load(dump_config(config))["dataset"]["root"] == "${RCAM_A}/x/${RCAM_B}"
    monkeypatch.setenv("RCAM_A", "/moved")
    assert config.dataset.options["root"] == "/moved/x/val"


@pytest.mark.parametrize("value", [None, ""])
def test_unset_variable_is_reported_when_it_is_needed(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RCAM_A", raising=False)
    if value is not None:
        monkeypatch.setenv("RCAM_A", value)
    config = load(save(dataset={"name": "folder", "root": "${RCAM_A}/x"}))
    with pytest.raises(UserError, match=r"^\$\{RCAM_A\}/x: the environment variable RCAM_A is not set; export RCAM_A="):
        _ = config.dataset.options


@pytest.mark.parametrize(
    "override, message",
    [
        ("methds=[cam]", "c.yaml: unknown key 'methds'; did you mean 'methods'?"),
        ("backbone.modle=x", "c.yaml: unknown key 'backbone.modle'; did you mean 'model'?"),
        ("timing.repeat=3", "c.yaml: unknown key 'timing.repeat'; did you mean 'repeats'?"),
        ("zzz=1", "c.yaml: unknown key 'zzz'; known: backbone, batch_size, "),
        ("batch_size=0", "c.yaml: batch_size: give a number of images from 1 to 4,096, or auto, not 0"),
        ("batch_size=two", "c.yaml: batch_size: give a number of images from 1 to 4,096, or auto, not 'two'"),
        ("device=gpu", "c.yaml: device: Input should be 'auto', 'cpu', 'cuda' or 'mps', not 'gpu'"),
        ("backbone=timm/x", "c.yaml: backbone: "),
        ("backbone.model=5", "c.yaml: backbone.model: Input should be a valid string, not 5"),
        ("backbone={weights: none}", "c.yaml: 'backbone.model' is missing; add it to the config"),
        ("dataset={root: x}", "c.yaml: 'dataset.name' is missing"),
        ("dataset=folder", "c.yaml: dataset: "),
        ("dataset={3: x, name: folder}", "c.yaml: dataset.3"),
        ("methods=3", "c.yaml: methods: Input should be a valid list, not 3"),
        ("methods=[]", "c.yaml: methods: List should have at least 1 item"),
        ("methods=[{mask: gaussian}]", "c.yaml: 'methods.0.name' is missing"),
        ("methods=[cam, 3]", "c.yaml: methods.1: "),
        ("metrics=[]", "c.yaml: metrics: "),
        ("protocol=[]", "c.yaml: protocol: "),
        ("timing=true", "c.yaml: timing: "),
        (
            "backbone={model: a, class_names: [b, 3]}",
            "c.yaml: backbone.class_names.1: Input should be a valid string, not",
        ),
        ("classes=all", "c.yaml: classes: Input should be 'predicted'"),
        ("threads=10000", "c.yaml: threads: Input should be less than or equal to 1024, not 10000"),
        ("threads=1000000000000", "c.yaml: threads: Input should be less than or equal to 1024, not 1000000000000"),
        (
            "workers=1000000000000000000000000000000",
            "c.yaml: workers: give a number of processes from 0 to 256, or auto, not",
        ),
        ("batch_size=100000000000", "c.yaml: batch_size: give a number of images from 1 to 4,096, or auto, not"),
        ("timing.batch_size=100000000000", "c.yaml: timing.batch_size: give a number of images from 1 to 4,096, or"),
        ("timing.repeats=100000000000", "c.yaml: timing.repeats: give a number of rounds from 1 to 1,000,000, or auto"),
        ("timing.budget_s=.inf", "c.yaml: timing.budget_s: Input should be a finite number, not inf"),
        ("fit_head.learning_rate=.nan", "c.yaml: fit_head.learning_rate: Input should be a finite number, not nan"),
        ("classes=true", "c.yaml: classes: give a number, not true"),
        ("seed=false", "c.yaml: seed: give a number, not false"),
        ("timing.repeats=true", "c.yaml: timing.repeats: give a number, not true"),
        ("maps=true", "c.yaml: maps: give a number, not true"),
        ("backbone={factory: 'a:b', mean: [true, 1, 1]}", "c.yaml: backbone.mean: give a number, not true"),
        (f"limit={[1] * 500}", "c.yaml: limit: Input should be a valid integer, not [1, 1, 1,"),
        ("limit={a: 1, a: 2}", "--set limit={a: 1, a: 2}: '{a: 1, a: 2}' is not a YAML value"),
        (f"{'a.' * 30}b=1", f"--set {'a.' * 30}…: no key lies 30 levels deep; write key=value"),
        ("backbone={modle: x}", "c.yaml: unknown key 'backbone.modle'; did you mean 'model'?"),
        ("timing.metods=[cam]", "c.yaml: unknown key 'timing.metods'; did you mean 'methods'?"),
        ("fit_head.epoch=3", "c.yaml: unknown key 'fit_head.epoch'; did you mean 'epochs'?"),
        ("methods=['reciprocam[mask']", "c.yaml: methods.0: 'reciprocam[mask' is not readable as name[option=value,"),
        ("methods=['x[a=[1]']", "c.yaml: methods.0: 'x[a=[1]': '[1' is not a YAML value"),
        ("metrics=[{steps: 3}]", "c.yaml: 'metrics.0.name' is missing"),
        ("metrics=[{name: adcc, label: 'a|b'}]", "c.yaml: metrics.0.label: String should match pattern"),
    ],
)
def test_a_wrong_key_or_value_names_its_place(override: str, message: str) -> None:
    assert mistake(override).startswith(message)


def test_a_misspelt_key_that_is_needed_is_called_misspelt() -> None:
    Path("c.yaml").write_text(
        yaml.safe_dump({k: v for k, v in MINIMAL.items() if k != "methods"} | {"metods": ["cam"]})
    )
    with pytest.raises(UserError, match=r"^c.yaml: unknown key 'metods'; did you mean 'methods'\?$"):
        load("c.yaml")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# nothing\n",
        b"- a\n- b\n",
        b"just words\n",
        b"5\n",
        b"a: [1\n",
        b"a:\n\tb: 1\n",
        b"\x89PNG\r\n\x1a\n\x00\xff",
        b"name: caf\xe9\n",
        b"a: 1\n---\nb: 2\n",
        b"limit: 2024-13-45\n",
        b"? [a]\n: b\n",
        b"a: !!python/name:os.system\n",
    ],
)
def test_a_file_that_is_no_config_is_named(content: bytes) -> None:
    Path("odd.yaml").write_bytes(content)
    with pytest.raises(UserError) as caught:
        load("odd.yaml")
    assert str(caught.value).startswith("odd.yaml: ")
    assert "\n" not in str(caught.value)


def test_keys_that_are_no_strings_are_refused() -> None:
    Path("odd.yaml").write_text(yaml.safe_dump({**MINIMAL, 7: "x"}))
    with pytest.raises(UserError, match=r"^odd.yaml: .*7"):
        load("odd.yaml")


def test_saved_config_reads_back_as_the_same() -> None:
    methods = ["cam", {"name": "reciprocam", "mask": "gaussian", "label": "Récipro ≥ 3"}]
    config = parse_config({**MINIMAL, "methods": methods, "timing": {"methods": ["cam"]}, "classes": 3}, "x")
    assert parse_config(yaml.safe_load(dump_config(config)), "x") == config
    assert "Récipro ≥ 3" in dump_config(config)


@pytest.mark.parametrize(
    "method, title",
    [
        ("reciprocam", "reciprocam"),
        ({"name": "reciprocam", "mask": "gaussian", "score": "logit"}, "reciprocam[mask=gaussian,score=logit]"),
        ({"name": "reciprocam", "mask": "gaussian", "label": "ours"}, "ours"),
    ],
)
def test_a_method_is_titled_by_its_label_or_its_options(method: object, title: str) -> None:
    config = Config.model_validate({**MINIMAL, "methods": [method]})
    assert config.methods[0].title == title
    assert "label" not in config.methods[0].options


def test_metrics_take_options_and_labels_as_methods_do() -> None:
    config = load(save(metrics=["adcc", {"name": "insertion_auc", "steps": 28, "label": "ins"}, "x[steps=28]"]))
    assert [(m.name, m.options, m.title) for m in config.metrics] == [
        ("adcc", {}, "adcc"),
        ("insertion_auc", {"steps": 28}, "ins"),
        ("x", {"steps": 28}, "x[steps=28]"),
    ]
    assert [m.title for m in load(save()).metrics] == ["average_drop", "increase", "coherency", "complexity", "adcc"]
    assert parse_config(yaml.safe_load(dump_config(config)), "x") == config


def test_a_tables_title_stands_for_its_method() -> None:
    timing = {"methods": ["reciprocam[mask=gaussian]"], "relative_to": "reciprocam[ mask = 'gaussian' ]"}
    config = load(save(methods=["cam", "reciprocam[mask=gaussian]"], timing=timing))
    assert (config.methods[1].name, config.methods[1].options) == ("reciprocam", {"mask": "gaussian"})
    assert config.timing is not None and config.timing.methods == [config.methods[1]]
    assert config.timing.relative_to == config.methods[1].title == "reciprocam[mask=gaussian]"


@pytest.mark.parametrize("label", ["ours", "ours [v2]", "a[b"])
def test_timing_may_be_relative_to_a_label(label: str) -> None:
    timing = load(save(methods=[{"name": "cam", "label": label}], timing={"relative_to": label})).timing
    assert timing is not None and timing.relative_to == label


def test_raw_maps_are_kept_only_when_asked_for() -> None:
    assert (load(save()).save_maps, load(save(), ("save_maps=true",)).save_maps) == (False, True)


@pytest.mark.parametrize("override", ["methods=[gradcam, reciprocam]", "timing.methods=[gradcam]"])
def test_a_reference_that_only_the_file_asked_for_goes_with_its_method(override: str) -> None:
    name = save(methods=["gradcam", "scorecam"], timing={"relative_to": "scorecam", "repeats": 3})
    config, notes = load_config(name, (override,))
    assert config.timing is not None
    assert (config.timing.relative_to, config.timing.repeats) == (None, 3)
    assert notes == ["timing.relative_to: scorecam is left out; it is not among the methods timed"]


@pytest.mark.parametrize(
    "overrides",
    [
        ("methods=[cam, {name: scorecam}]",),
        ("methods=[cam]", "timing.relative_to=scorecam"),  # asked for, so that it is a mistake where it is used
        ("methods=[cam]", "timing={relative_to: scorecam}"),
        ("methods=[cam]", "timing.methods=[scorecam]"),
        ("seed=3",),
    ],
)
def test_a_reference_that_is_there_or_asked_for_stays(overrides: tuple[str, ...]) -> None:
    timing = load(save(methods=["gradcam"], timing={"relative_to": "scorecam"}), overrides).timing
    assert timing is not None and timing.relative_to == "scorecam"


def test_a_papers_config_with_another_network_and_fewer_methods_is_valid() -> None:
    overrides = ("backbone.model=timm/resnet50.a1_in1k", "methods=[gradcam,reciprocam]")
    config, notes = load_config("resnet50_imagenet", overrides)
    assert (config.backbone.model, config.backbone.weights) == ("timm/resnet50.a1_in1k", "default")
    assert config.timing is not None and config.timing.relative_to is None
    assert [m.title for m in config.methods] == ["gradcam", "reciprocam"]
    assert len(notes) == 2
    # The default weights of torchvision's ResNet-50 are newer than the papers'.
    assert load("resnet50_imagenet", ("backbone.model=torchvision/resnet50",)).backbone.weights == "IMAGENET1K_V1"


def test_a_bare_name_is_looked_up_here_then_in_configs_then_in_the_installed_copy() -> None:
    installed = find_config("quickstart")
    assert installed.is_file()
    save("configs/quickstart.yaml", seed=1)
    assert load("quickstart").seed == 1
    save("quickstart.yaml", seed=2)
    assert load("quickstart").seed == 2
    assert load("quickstart.yaml").seed == 2
    assert load(str(Path("configs/quickstart.yaml").resolve())).seed == 1


def test_a_pipe_is_never_opened(make_pipe) -> None:
    make_pipe(Path("pipe.yaml"))
    with pytest.raises(UserError, match=r"^config 'pipe.yaml' not found"):
        load("pipe.yaml")
    with pytest.raises(UserError, match=r"^pipe.yaml is no regular file .*; give a YAML file$"):
        read_yaml(Path("pipe.yaml"))


def test_a_folder_in_place_of_the_config_is_passed_over() -> None:
    Path("quickstart.yaml").mkdir()
    assert find_config("quickstart").is_file()


def test_config_in_a_folder_with_spaces_and_accents() -> None:
    assert load(save("mes données/réseau 1.yaml", seed=3)).seed == 3


@pytest.mark.parametrize("name", ["quickstrat", "quickstrat.yaml", "configs/quickstrat.yaml"])
def test_unknown_config_suggests_a_near_one(name: str) -> None:
    with pytest.raises(UserError, match=rf"^config '{name}' not found .*; did you mean 'quickstart'\?"):
        find_config(name)


@pytest.mark.parametrize("name", ["", ".", "a\0b", "x" * 300])
def test_impossible_config_names_are_not_found(name: str) -> None:
    with pytest.raises(UserError, match="not found"):
        find_config(name)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configs_are_valid(path: Path) -> None:
    found = load_experiments(str(path))
    assert all(config.methods for config in (found.configs if isinstance(found, Suite) else [found.config]))
