"""Titles: what tables print is what a config and the command line read."""

from typing import Any

import pytest

from reciprocam_bench.errors import UserError
from reciprocam_bench.titles import file_names, parse_title, shortened, title_of


@pytest.mark.parametrize(
    "text, read",
    [
        ("gradcam++", {"name": "gradcam++"}),
        ("captum:LayerGradCam", {"name": "captum:LayerGradCam"}),
        ("reciprocam[mask=gaussian]", {"name": "reciprocam", "mask": "gaussian"}),
        (" x[ a = 1 , b = [1, 2] ,c={k: v}] ", {"name": "x", "a": 1, "b": [1, 2], "c": {"k": "v"}}),
        ("x[a=true,b=True,c=null,d=1.5,e='5',f=]", {"name": "x", "a": True, "b": True, "c": None, "d": 1.5, "e": "5"}),
    ],
)
def test_a_title_is_a_name_and_options_whose_values_are_yaml(text: str, read: dict) -> None:
    assert parse_title(text) == (read if "f=" not in text else read | {"f": None})


@pytest.mark.parametrize(
    "options, title",
    [
        ({}, "x"),
        ({"mask": "gaussian", "steps": 28}, "x[mask=gaussian,steps=28]"),
        ({"relu": True, "rate": 0.5}, "x[relu=True,rate=0.5]"),
        ({"steps": [1, 2]}, "x[steps=[1, 2]]"),
        ({"a": None, "b": "5", "c": "a: b", "d": ""}, "x[a=null,b='5',c='a: b',d='']"),
        ({"a": 1e-05, "b": {"k": [None, True]}}, "x[a=1.0e-05,b={k: [null, true]}]"),
    ],
)
def test_what_is_printed_reads_back_as_the_same(options: dict[str, Any], title: str) -> None:
    assert title_of("x", options) == title
    assert repr(parse_title(title)) == repr({"name": "x", **options})


@pytest.mark.parametrize(
    "text",
    ["x[", "x]", "[a=1]", "x[a]", "x[]", "x[a=1]y", "x[a=1,a=2]", "x[name=y]", "x[label=y]", "x[a b=1]"],
)
def test_anything_else_says_how_it_is_written(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_title(text)
    message = f"'{text}' is not readable as name[option=value,…]; write for example reciprocam[mask=gaussian]"
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["a" * 250, "ü" * 150, "\udcff" * 220])
def test_a_name_that_is_too_long_for_a_file_is_cut_and_stays_itself(name: str) -> None:
    assert len(shortened(name).encode()) <= 200
    assert shortened(name) != shortened(name + "b")
    assert shortened("short ü") == "short ü"


def test_a_value_that_is_no_yaml_is_named() -> None:
    with pytest.raises(UserError, match=r"^'x\[a=\[1\]': '\[1' is not a YAML value$"):
        parse_title("x[a=[1]")


def test_titles_that_come_to_one_file_name_are_told_apart() -> None:
    titles = ["a b", "a-b", "cam", "A=b", "=?", "sheet", "cam", "!"]
    names = file_names(titles, taken=["sheet"])
    assert list(names) == ["a b", "a-b", "cam", "A=b", "=?", "sheet", "!"]
    assert list(names.values()) == ["a-b", "a-b-2", "cam", "A-b-3", "method", "sheet-2", "method-2"]
