"""Protocols of one's own: files, bases, names, and every mistake in them in one line."""

from pathlib import Path

import pytest
import yaml

from reciprocam_bench.config import dump_config, parse_config
from reciprocam_bench.config_file import load_config
from reciprocam_bench.errors import UserError
from reciprocam_bench.protocols.protocol import load_protocol, parse_protocol, read_protocol

WHOLE = {
    "name": "mine",
    "preprocess": {"resize": "squash", "size": 64, "crop": None, "interpolation": "nearest"},
    "classes": "label",
    "masked": "raw",
    "upsample": {"mode": "nearest"},
    "judged": "map",
}
EXPERIMENT = {"backbone": {"model": "timm/test_resnet"}, "dataset": {"name": "folder"}, "methods": ["cam"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a folder of configs."""
    (tmp_path / "configs").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str, content: object) -> Path:
    Path(path).write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return Path(path)


def test_a_whole_one_needs_neither_paper_nor_version() -> None:
    protocol = load_protocol(str(write("mine.yaml", WHOLE)))
    assert (protocol.name, protocol.version, protocol.paper, protocol.path) == ("mine", 1, "", "mine.yaml")
    assert protocol.choices == {
        **{key: WHOLE[key] for key in ("preprocess", "classes", "masked", "judged")},
        "upsample": {"mode": "nearest", "antialias": False, "clamp": False},
        "options": {},
    }


def test_keys_stand_over_those_of_the_base_one_by_one() -> None:
    protocol = read_protocol(
        write(
            "mine.yaml",
            "name: mine\nbase: recipro-2024\nupsample: {clamp: true}\noptions: {deletion_auc: {variant: rise}}",
        )
    )
    base = load_protocol("recipro-2024")
    assert protocol.choices == {
        **base.choices,
        "upsample": {"mode": "bicubic", "antialias": True, "clamp": True},
        "options": {"insertion_auc": {"variant": "recipro-2024"}, "deletion_auc": {"variant": "rise"}},
    }
    assert (protocol.version, protocol.paper, protocol.source) == (1, "", "")  # a base gives its choices alone
    assert base.upsample.clamp is False


def test_a_base_may_be_a_file_beside_it() -> None:
    write("configs/base.yaml", {**WHOLE, "version": 7})
    protocol = read_protocol(write("configs/mine.yaml", {"name": "other", "base": "base.yaml", "masked": "normalised"}))
    assert protocol.choices == parse_protocol({**WHOLE, "masked": "normalised"}).choices
    assert (protocol.name, protocol.version) == ("other", 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- name", "mine.yaml: a protocol is a mapping of keys to values; this file is not one"),
        ("a: [", "mine.yaml: not readable as YAML: "),
        ({**WHOLE, "maskd": "raw"}, "mine.yaml: unknown key 'maskd'; did you mean 'masked'?"),
        ({**WHOLE, "bas": "standard"}, "mine.yaml: unknown key 'bas'; did you mean 'base'?"),
        ({**WHOLE, "upsample": {"mod": "nearest"}}, "mine.yaml: unknown key 'upsample.mod'; did you mean 'mode'?"),
        (
            {"name": "x", "base": "recipro-2024", "upsample": {"mode": "nearest"}},
            "mine.yaml: upsample: nearest has no antialias; add antialias: false",
        ),
        (
            {"name": "x", "base": "standard", "preprocess": {"crop": True}},
            "mine.yaml: preprocess.crop: give a number, not true",
        ),
        ({**WHOLE, "version": True}, "mine.yaml: version: give a number, not true"),
        ({**WHOLE, "masked": "black"}, "mine.yaml: masked: Input should be 'normalised' or 'raw', not 'black'"),
        ({**WHOLE, "version": 0}, "mine.yaml: version: Input should be greater than or equal to 1, not 0"),
        ({**WHOLE, "preprocess": "squash"}, "mine.yaml: preprocess: Input should be a valid dictionary"),
        (
            {**WHOLE, "preprocess": {**WHOLE["preprocess"], "size": 0}},  # type: ignore[dict-item]
            "mine.yaml: preprocess.size: Input should be greater than or equal to 1, not 0",
        ),
        ({**WHOLE, "name": "a/b"}, "mine.yaml: name: use letters, digits, - and _, not 'a/b'"),
        ({**WHOLE, "name": 5}, "mine.yaml: name: Input should be a valid string, not 5"),
        ({"base": "standard"}, "mine.yaml: 'name' is missing; add it"),
        (
            {k: v for k, v in WHOLE.items() if k != "judged"},
            "mine.yaml: 'judged' is missing; add it, or take it from another protocol: base: standard",
        ),
        ({"name": "x", "base": ["standard"]}, "mine.yaml: base: name a protocol or a file, not ['standard']"),
        ({"name": "x", "base": "standart"}, "mine.yaml: unknown protocol 'standart'; did you mean 'standard'?"),
        ({"name": "x", "base": "no.yaml"}, "mine.yaml: no.yaml does not exist; give a YAML file"),
        (
            {"name": "x", "base": "two.yaml"},
            "mine.yaml: base: two.yaml has a base itself; only one level is allowed",
        ),
        ({"name": "x", "base": "bad.yaml"}, "mine.yaml: base: bad.yaml: masked: Input should be"),
        ({"name": "x", "base": "whole.yaml", "masked": 1}, "mine.yaml: masked: Input should be 'normalised' or 'raw'"),
        (
            {**WHOLE, "name": "standard"},
            "mine.yaml: name: 'standard' is an installed protocol with other choices; give yours another name",
        ),
        (
            {"name": "poppi-2021", "base": "poppi-2021", "version": 2},
            "mine.yaml: name: 'poppi-2021' is an installed protocol with other choices; give yours another name",
        ),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(content: object, message: str) -> None:
    write("two.yaml", {"name": "two", "base": "standard"})
    write("bad.yaml", {**WHOLE, "masked": "black"})
    write("whole.yaml", WHOLE)
    with pytest.raises(UserError) as caught:
        load_protocol(str(write("mine.yaml", content)))
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_copy_of_an_installed_one_may_have_its_name() -> None:
    for name in ("standard", "recipro-2024"):
        content = {"name": name, "base": name}
        assert load_protocol(str(write("copy.yaml", content))).choices == load_protocol(name).choices


def config(given: object, path: str = "configs/c.yaml", *sets: str) -> list:
    write(path, EXPERIMENT | {"protocol": given})
    return load_config(path, sets).config.protocol


def test_a_config_takes_paths_names_and_contents() -> None:
    write("mine.yaml", WHOLE)
    other = {**WHOLE, "name": "other"}
    assert config("mine.yaml") == [read_protocol(Path("mine.yaml"))]
    assert config(WHOLE) == [parse_protocol(WHOLE)]
    mixed = parse_config(EXPERIMENT | {"protocol": ["standard", "mine.yaml", other]}, "c.yaml")
    assert mixed.named_protocols == ["standard", "mine", "other"]
    assert config("standard", "configs/c.yaml", "protocol=[mine.yaml, poppi-2021]")[1] == "poppi-2021"
    assert config("standard", "c.yaml", "protocol={name: new, base: standard, masked: raw}")[0].masked == "raw"


def test_a_path_is_of_the_working_folder_and_else_beside_the_config(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("configs/mine.yaml", WHOLE)
    assert config("mine.yaml")[0].path == str(Path("configs/mine.yaml"))
    assert config(["mine.yaml"])[0].path == str(Path("configs/mine.yaml"))
    write("configs/over.yaml", {"base": "c.yaml", "seed": 1})
    assert load_config("configs/over.yaml").config.protocol[0].path == str(Path("configs/mine.yaml"))  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"configs/c.yaml: protocol: mine.yaml does not exist; give a YAML file"):
        config("standard", "configs/c.yaml", "protocol=mine.yaml")  # typed in the working folder
    write("mine.yaml", {**WHOLE, "name": "nearer"})
    assert config("mine.yaml")[0].name == "nearer"
    monkeypatch.setenv("PROTOCOLS", str(here / "configs"))
    assert config("${PROTOCOLS}/mine.yaml")[0].name == "mine"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("mine.yaml", "configs/c.yaml: protocol: mine.yaml: unknown key 'maskd'; did you mean 'masked'?"),
        (["standard", "mine.yaml"], "configs/c.yaml: protocol.1: mine.yaml: unknown key 'maskd'"),
        ({**WHOLE, "masked": 1}, "configs/c.yaml: protocol.0: masked: Input should be 'normalised' or 'raw', not 1"),
        (5, "configs/c.yaml: protocol: Input should be a valid list, not 5"),
        ("no.yaml", "configs/c.yaml: protocol: no.yaml does not exist; give a YAML file"),
        (
            "${NO_SUCH}/a.yaml",
            "configs/c.yaml: protocol: ${NO_SUCH}/a.yaml: the environment variable NO_SUCH is not set",
        ),
    ],
)
def test_a_config_says_where_the_mistake_is(given: object, message: str) -> None:
    write("mine.yaml", {**WHOLE, "maskd": "raw"})
    with pytest.raises(UserError) as caught:
        config(given)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_stored_config_needs_the_file_no_more() -> None:
    path = write("mine.yaml", {"name": "mine", "base": "recipro-2024", "upsample": {"clamp": True}})
    made = parse_config(EXPERIMENT | {"protocol": ["standard", str(path)]}, "c.yaml")
    path.unlink()
    again = parse_config(yaml.safe_load(dump_config(made)), "config.yaml")
    assert again.protocol[0] == "standard"
    assert again.protocol[1].choices == made.protocol[1].choices  # type: ignore[union-attr]
    assert dump_config(again) == dump_config(made)
