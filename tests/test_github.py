"""What GitHub reads: workflows whose commands there are, and forms that it takes."""

import importlib.util
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from reciprocam_bench.cli import app
from reciprocam_bench.config_file import load_config

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
_KINDS = {"markdown", "input", "textarea", "dropdown", "checkboxes"}
_ATTRIBUTES = {"label", "description", "placeholder", "value", "render", "options", "multiple", "default"}


def read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text("utf-8"))
    return {("on" if key is True else key): value for key, value in content.items()}  # YAML 1.1: on is true


def commands(workflow: Path) -> Iterator[list[str]]:
    for job in read(workflow)["jobs"].values():
        for step in job["steps"]:
            for line in step.get("run", "").splitlines():
                yield shlex.split(re.sub(r"\$\(.*?\)|\$\w+|>>.*", "X", line))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_whole(workflow: Path) -> None:
    content = read(workflow)
    assert content["name"] and content["on"] and content["jobs"]
    for job in content["jobs"].values():
        assert job["runs-on"] and job["steps"]
        needed = job.get("needs", [])
        assert set([needed] if isinstance(needed, str) else needed) <= content["jobs"].keys()
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[\w./-]+", step.get("uses", "actions/checkout@v4"))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_its_commands_exist(workflow: Path) -> None:
    verbs = typer.main.get_command(app).commands
    found = list(commands(workflow))
    assert found
    for words in found:
        if words[:2] == ["python", "-m"]:
            assert words[2] == "build" or importlib.util.find_spec(words[2]), words
        elif words[0] in ("python", "bash"):
            assert (ROOT / words[1]).is_file(), words
        elif words[0] == "rcam-bench":
            assert words[1] in verbs, words
            known = {name for parameter in verbs[words[1]].params for name in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known
            if "--config" in words:
                assert load_config(words[words.index("--config") + 1])
        else:
            assert shutil.which(words[0]), words


def test_nothing_is_published_but_a_tag_that_was_tried() -> None:
    content = read(ROOT / ".github/workflows/release.yml")
    jobs = content["jobs"]
    publishing = [name for name, job in jobs.items() if any("pypi-publish" in s.get("uses", "") for s in job["steps"])]
    assert publishing == ["publish"]
    assert jobs["publish"]["if"] == "github.ref_type == 'tag'"
    assert (jobs["publish"]["needs"], jobs["clean"]["needs"]) == ("clean", "build")
    assert jobs["publish"]["permissions"] == {"id-token": "write"} and content["permissions"] == {"contents": "read"}
    assert content["on"]["push"] == {"tags": ["v*"]}
    assert ["twine", "check", "--strict", "dist/*"] in commands(ROOT / ".github/workflows/release.yml")


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one_that_github_takes(form: Path) -> None:
    content = read(form)
    assert content["name"] and content["description"] and content["body"]
    parts = [part for part in content["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in content["body"]} <= _KINDS
    assert any(part.get("validations", {}).get("required") for part in parts)
    ids = [part["id"] for part in parts]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"[\w-]+", name) for name in ids)
    labels = [part["attributes"]["label"] for part in parts]
    assert len(labels) == len(set(labels))
    for part in parts:
        assert part["attributes"].keys() <= _ATTRIBUTES and None not in part["attributes"].values()
        assert part.keys() <= {"type", "id", "attributes", "validations"}
        options = part["attributes"].get("options", [])
        assert bool(options) == (part["type"] in ("dropdown", "checkboxes"))
        assert len({str(option) for option in options}) == len(options)
        if part["type"] == "dropdown":
            assert all(isinstance(option, str) for option in options)


def test_the_forms_are_those_that_people_need() -> None:
    assert {form.stem for form in FORMS} >= {"bug", "wrong_number", "method_or_metric"}
