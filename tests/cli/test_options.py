"""Options that several verbs have are declared once, in ``options.py``."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reciprocam_bench import cli
from reciprocam_bench.cli import explain, export
from reciprocam_bench.variables import expanded

OF_NETWORKS = ("model", "factory", "config", "weights", "layer", "class_names", "set")


def test_no_option_is_declared_twice() -> None:
    declared: Counter[str] = Counter()
    for path in Path(cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "typer.Option":
                about = (ast.unparse(part) for part in (*node.args, *(k.value for k in node.keywords)))
                declared[" ".join(about)] += 1
    assert len(declared) > 20
    assert [text for text, count in declared.items() if count > 1] == []


def test_explain_and_export_ask_for_a_network_in_the_same_words() -> None:
    for name in OF_NETWORKS:
        assert explain.command.__annotations__[name] is export.command.__annotations__[name]


def test_help_keeps_what_stands_in_brackets() -> None:
    text = " ".join(CliRunner().invoke(cli.app, ["explain", "--help"]).output.split())
    assert "[default: jet]" in text and "'reciprocam[mask=gaussian]'" in text


def test_the_home_folder_may_be_written_as_a_shell_leaves_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/x") == tmp_path / "x" and expanded(Path("~no such user/x")) == Path("~no such user/x")
    said = CliRunner().invoke(cli.app, ["check", str(tmp_path), "--against=~/no.json"])
    assert str(tmp_path) in str(said.exception) and "~" not in str(said.exception)
    (tmp_path / "mine.yaml").write_text("backbone: [")
    said = CliRunner().invoke(cli.app, ["run", "--config=~/mine.yaml"])
    assert str(said.exception).startswith(f"{tmp_path / 'mine.yaml'}: not readable as YAML")
    said = CliRunner().invoke(cli.app, ["explain", "~/no.png", "--model", "torchvision/resnet18"])
    assert str(said.exception).startswith(f"{tmp_path / 'no.png'} does not exist")
    # No verb has a path that is taken as it stands.
    places = 0
    for path in Path(cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            text = ast.unparse(node)
            if isinstance(node, ast.Subscript) and text.startswith("Annotated[Path") and "typer.Option" in text:
                places += 1
                assert "PLACE" in text or "parser=expanded" in text, text
    assert places >= 10
