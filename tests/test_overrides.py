"""``--set key=value``: dots, YAML values, the words for each mistake, and what goes with another network."""

from pathlib import Path

import pytest
import yaml

from reciprocam_bench.config import Config
from reciprocam_bench.config_file import load_config
from reciprocam_bench.errors import UserError

MINIMAL = {"backbone": {"model": "timm/x"}, "dataset": {"name": "folder", "root": "pics"}, "methods": ["gradcam"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def save(**changes: object) -> str:
    Path("c.yaml").write_text(yaml.safe_dump({**MINIMAL, **changes}))
    return "c.yaml"


def load(name: str, overrides: tuple[str, ...]) -> Config:
    config, notes = load_config(name, overrides)
    assert notes == []
    return config


def mistake(override: str) -> str:
    with pytest.raises(UserError) as caught:
        load_config(save(), (override,))
    return str(caught.value)


def test_the_last_of_several_sets_wins() -> None:
    assert load(save(), ("seed=1", "seed=2")).seed == 2


def titles(config: Config) -> list[str]:
    return [m.title for m in config.methods]


@pytest.mark.parametrize(
    "override, read",
    [
        ("backbone.weights=none", lambda c: c.backbone.weights == "none"),
        ("backbone.model=timm/resnet50", lambda c: (c.backbone.model, c.backbone.layer) == ("timm/resnet50", "auto")),
        ("methods=[cam, {name: scorecam, channels: 8}]", lambda c: c.methods[1].options == {"channels": 8}),
        ("methods=[a[b=c], x:Y[n=[1, 2],m=z], cam]", lambda c: titles(c) == ["a[b=c]", "x:Y[n=[1, 2],m=z]", "cam"]),
        ("methods=['a[b=c]', {name: a, b: d}]", lambda c: titles(c) == ["a[b=c]", "a[b=d]"]),
        ("methods=reciprocam[mask=gaussian]", lambda c: titles(c) == ["reciprocam[mask=gaussian]"]),
        ("methods=gradcam", lambda c: titles(c) == ["gradcam"]),
        ("metrics=increase", lambda c: [m.title for m in c.metrics] == ["increase"]),
        ("timing.methods=[a[b=c]]", lambda c: [m.title for m in c.timing.methods] == ["a[b=c]"]),
        ("timing={relative_to: a[b=c]}", lambda c: c.timing.relative_to == "a[b=c]"),
        ("metrics=[increase]", lambda c: [m.title for m in c.metrics] == ["increase"]),
        ("limit=null", lambda c: c.limit is None),
        ("dataset.root=a=b", lambda c: c.dataset.options == {"root": "a=b"}),
        ("dataset.root='5'", lambda c: c.dataset.options == {"root": "5"}),
        ("protocol=recipro-2024", lambda c: c.protocol == ["recipro-2024"]),
        ("classes=7", lambda c: c.classes == 7),
    ],
)
def test_set_takes_dots_and_yaml_values(override: str, read) -> None:
    assert read(load(save(), (override,)))


@pytest.mark.parametrize("there", [{}, {"timing": None}])
def test_set_reaches_into_a_missing_or_null_mapping(there: dict) -> None:
    timing = load(save(**there), ("timing.repeats=3",)).timing
    assert timing is not None
    assert (timing.repeats, timing.warmup) == (3, 1)


@pytest.mark.parametrize("override", ["backbone", "=3", "seed", ""])
def test_set_without_key_or_value_says_how_it_is_written(override: str) -> None:
    assert mistake(override).startswith(f"--set {override}: write key=value")


@pytest.mark.parametrize(
    "text", ["[a", "[a[b=c", "{a: b", "!!python/object:os.system 1", "2024-13-45", "!!int seven", "0b_"]
)
def test_set_with_a_broken_yaml_value(text: str) -> None:
    assert mistake(f"limit={text}") == f"--set limit={text}: '{text}' is not a YAML value"


@pytest.mark.parametrize("override, part", [("backbone.model.x=1", "model"), ("methods.0=cam", "methods")])
def test_set_into_something_that_is_no_mapping(override: str, part: str) -> None:
    assert mistake(override) == f"--set {override}: '{part}' is not a mapping"


OF_ITS_OWN = {"weights": "V1", "layer": "layer4", "head": "h.safetensors", "num_classes": 7, "multi_label": True}


def test_another_model_leaves_out_what_the_file_says_of_its_own() -> None:
    name = save(backbone={"model": "timm/x", **OF_ITS_OWN})
    config, notes = load_config(name, ("backbone.model=timm/y",))
    assert config.backbone == Config.model_validate({**MINIMAL, "backbone": {"model": "timm/y"}}).backbone
    assert notes == [
        "left out with the file's backbone timm/x: weights: V1, layer: layer4, head: h.safetensors, num_classes: 7, "
        "multi_label: True"
    ]
    config, notes = load_config(name, ("backbone.weights=none", "backbone.model=timm/y", "backbone.layer=layer3"))
    assert (config.backbone.weights, config.backbone.layer, config.backbone.head) == ("none", "layer3", None)
    assert notes == ["left out with the file's backbone timm/x: head: h.safetensors, num_classes: 7, multi_label: True"]


@pytest.mark.parametrize("overrides", [(), ("backbone.model=timm/x",), ("backbone.layer=layer4", "seed=3")])
def test_the_same_model_keeps_them(overrides: tuple[str, ...]) -> None:
    backbone = load(save(backbone={"model": "timm/x", **OF_ITS_OWN}), overrides).backbone
    assert backbone.model_dump(include=set(OF_ITS_OWN)) == OF_ITS_OWN


def test_a_whole_backbone_replaces_the_files() -> None:
    name = save(backbone={"model": "timm/x", **OF_ITS_OWN})
    assert load(name, ("backbone={model: timm/y}", "backbone.layer=l")).backbone.layer == "l"
    assert load(name, ("backbone={model: timm/y}",)).backbone.weights == "default"


@pytest.mark.parametrize("weights, layer", [("none", "image"), ("default", "auto")])
def test_what_any_network_can_have_stays(weights: str, layer: str) -> None:
    name = save(backbone={"model": "timm/x", "weights": weights, "layer": layer, "multi_label": False})
    backbone = load(name, ("backbone.model=timm/y",)).backbone
    assert (backbone.model, backbone.weights, backbone.layer) == ("timm/y", weights, layer)


def test_a_factory_takes_the_place_of_a_model_and_the_reverse() -> None:
    name = save(backbone={"model": "timm/x", "weights": "V1"})
    config, notes = load_config(name, ("backbone.factory=mine:make", "backbone.options.depth=3"))
    assert (config.backbone.model, config.backbone.weights) == ("mine:make", "default")
    assert config.backbone.options == {"depth": 3}
    assert notes == ["left out with the file's backbone timm/x: weights: V1"]
    own = {"factory": "mine:make", "model": "my net", "options": {"depth": 3}}
    config, notes = load_config(save(backbone=own), ("backbone.factory=null", "backbone.model=timm/y"))
    assert (config.backbone.factory, config.backbone.model, config.backbone.options) == (None, "timm/y", {})
    assert notes == ["left out with the file's backbone mine:make: options: {'depth': 3}"]
    renamed = load(save(backbone=own), ("backbone.model=another name",)).backbone
    assert (renamed.factory, renamed.model, renamed.options) == ("mine:make", "another name", {"depth": 3})
