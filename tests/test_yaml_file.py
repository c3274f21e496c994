"""YAML that people write: what is refused beyond YAML's own rules, and that it is refused soon."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from reciprocam_bench.errors import UserError
from reciprocam_bench.yaml_file import load_yaml, read_yaml

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 3000))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' is given twice"),
        ("x: {a: 1, 'a': 2}\n", "line 1, column 11: the key 'a' is given twice"),
        ("x:\n- {a: {b: 1, b: 1}}\n", "line 2, column 14: the key 'b' is given twice"),
        (f"x: {'[' * 500}", "line 1, column 53: nested deeper than 50 levels"),
        (f"x: {'{a: ' * 10_000}", "line 1, column 197: nested deeper than 50 levels"),
        ("".join(f"{' ' * i}a:\n" for i in range(300)), "line 50, column 50: nested deeper than 50 levels"),
        (CHAIN, "line 50, column 6: nested deeper than 50 levels"),
        (LAUGHS, "line 5, column 5: more than 100,000 values, aliases counted"),
        ("a: &a [*a]\n", "line 1, column 8: *a stands inside of what it repeats"),
        ("a: &a {b: {c: *a}}\n", "line 1, column 15: *a stands inside of what it repeats"),
        ("a: *b\n", "line 1, column 4: found undefined alias 'b'"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1, column 4: could not determine a constructor"),
        (f"a: {'1' * 5000}\n", "Exceeds the limit (4300 digits) for integer string conversion"),
    ],
)
def test_what_is_refused_says_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        read_yaml(tmp_path / "a.yaml")
    said = str(caught.value).removeprefix(f"{tmp_path}/a.yaml: not readable as YAML: ")
    assert said.startswith(message)
    assert len(said) < 250


def test_a_file_of_any_size_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"a: {'x' * 4_000_000}\n")
    with pytest.raises(UserError, match=r"a\.yaml: is larger than 4 MB; no YAML file of ours is$"):
        read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    "value",
    [{"a": [1, 2.5, True, None, "b"], "c": {"d": "2024-01-01"}}, [], "x", 5, {"deep": [[[[[[[[1]]]]]]]]}],
)
def test_what_yaml_writes_is_read_as_it_was(value: Any) -> None:
    assert load_yaml(yaml.safe_dump(value)) == value


def test_aliases_and_merged_keys_are_kept() -> None:
    assert load_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n") == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": [{"x": 1, "y": 2}, {"x": 1, "y": 2}],
    }
