"""What is around the code: the wheel, the README of a package index, the citation, completion of the command line."""

import email
import os
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from processes import rcam_bench

import reciprocam_bench as rb

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as hatchling builds it."""
    builders = pytest.importorskip("hatchling.builders.wheel")
    pytest.importorskip("hatch_fancy_pypi_readme")
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = builders.WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(built)


def test_the_wheel_holds_configs_data_files_and_the_marker_of_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "reciprocam_bench/py.typed",
        "reciprocam_bench/configs/quickstart.yaml",
        "reciprocam_bench/datasets/samples_boxes.json",
        "reciprocam_bench/protocols/poppi-2021.yaml",
        "reciprocam_bench/protocols/papers/recipro-2024.yaml",
    } <= names


def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    builders = pytest.importorskip("hatchling.builders.wheel")
    sources = pytest.importorskip("hatchling.builders.sdist")
    (sdist,) = sources.SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (again,) = builders.WheelBuilder(str(root)).build(directory=str(tmp_path), versions=["standard"])
    first, second = (zipfile.ZipFile(path) for path in (wheel, again))
    assert {i.filename: i.CRC for i in first.infolist()} == {i.filename: i.CRC for i in second.infolist()}


def test_the_readme_is_legible_on_a_package_index(wheel: Path) -> None:
    renderer = pytest.importorskip("readme_renderer.markdown")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        about = email.message_from_string(archive.read(name).decode("utf-8"))
    assert about["Description-Content-Type"] == "text/markdown"
    text, source = about.get_payload(), (ROOT / "README.md").read_text("utf-8")
    page = renderer.render(text)
    assert page and page.count("<table>") == renderer.render(source).count("<table>") > 0
    # No link into the repository, and no picture of it; the words of both are there, and all code.
    assert all(target.startswith(("http", "#")) for target in re.findall(r'(?:href|src)="([^"]*)"', page))
    assert source.split("```")[1::2] == text.split("```")[1::2]
    plain = re.sub(r"!?\[([^\[\]]+)\]\([^()]*\)", r"\1", source)
    assert plain.split() == re.sub(r"!?\[([^\[\]]+)\]\([^()]*\)", r"\1", text).split()


def test_the_wheel_passes_twines_check(wheel: Path) -> None:
    check = pytest.importorskip("twine.commands.check")
    assert check.check([str(wheel)], strict=True) is False  # whether it failed


def test_the_citation_is_complete_and_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0" and cited["message"]
    assert (cited["title"], cited["type"], cited["license"]) == ("rcam-bench", "software", "Apache-2.0")
    assert cited["authors"] == [{"name": "The rcam-bench developers"}]
    assert cited["version"] == rb.__version__
    (reference,) = cited["references"]
    assert reference["type"] and reference["title"] and reference["authors"]
    assert reference["url"] == "https://arxiv.org/abs/2209.14074"


@pytest.mark.parametrize("typed, offered", [("rcam-bench r", {"run", "report"}), ("rcam-bench run --fr", {"--fresh"})])
def test_the_shell_completes_verbs_and_options(typed: str, offered: set[str]) -> None:
    asked = {"_RCAM_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = rcam_bench(env=os.environ | asked)
    assert set(done.stdout.split()) == offered, done.stderr
