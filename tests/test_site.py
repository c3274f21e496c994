"""The documentation as a site: all of it is there, links lead somewhere, and nothing is loaded from another host."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from load_script import load_script

ROOT = Path(__file__).parents[1]
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))


def named(nav: list) -> Iterator[str]:
    for entry in nav:
        for place in entry.values():
            if isinstance(place, str):
                yield place
            else:
                yield from named(place)


@pytest.fixture
def links() -> ModuleType:
    pytest.importorskip("mkdocs")
    return load_script("site_links")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `.ci/run` builds it."""
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_navigation_names_every_page_once() -> None:
    pages = list(named(SITE["nav"]))
    assert len(pages) == len(set(pages))
    assert {page for page in pages if (ROOT / "docs" / page).is_file()} == {
        path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")
    }
    assert all((ROOT / "docs" / page).is_file() or (ROOT / page).is_file() for page in pages)


def test_a_link_names_a_file_of_the_repository_or_nothing(links) -> None:
    page = ROOT / "docs/limits.md"
    assert links.place(links.linked(page, "../results/README.md")) == "results/README.md"
    assert links.place(links.linked(page, "../results")) == "results/README.md"
    assert links.place(links.linked(page, "../results/synthetic")) == "results/synthetic/summary.csv"
    assert links.place(links.linked(ROOT / "results/README.md", "../docs/compare.md")) == "compare.md"
    assert links.place(links.linked(ROOT / "results/README.md", "../README.md")) == "index.md"
    assert links.linked(page, "no_such_page.md") is None
    assert links.linked(page, "../..") is None
    assert links.linked(page, "../../outside.md") is None


def test_what_is_a_link_and_what_is_none(links) -> None:
    text = "[a](b.md) [c](d/e.md#f) [g](#h) [i](https://example.org/j) `x[0](y)` "
    assert links._TARGET.findall(text) == ["b.md", "d/e.md", "y"]


@pytest.mark.slow
def test_the_site_is_built_strictly_and_holds_every_page(site) -> None:
    for page in named(SITE["nav"]):
        assert (site / f"{page.removesuffix('.md')}.html".replace("README", "index")).is_file(), page


@pytest.mark.slow
def test_links_to_files_of_the_repository_lead_to_them(site) -> None:
    assert 'href="results/index.html"' in (site / "index.html").read_text("utf-8")
    assert 'href="../compare.html"' in (site / "results/index.html").read_text("utf-8")
    assert 'href="results/synthetic/summary.csv"' in (site / "known_truth.html").read_text("utf-8")
    copied = (site / "results/synthetic/summary.csv").read_bytes()
    assert copied == (ROOT / "results/synthetic/summary.csv").read_bytes()


@pytest.mark.slow
def test_pages_load_nothing_from_another_host(site) -> None:
    tags = r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>"
    loads = re.compile(tags + r"|@import[^;]*//[^;]*;|url\([\"']?(?:https?:)?//")
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 30
    for page in pages:
        assert not loads.findall(page.read_text("utf-8")), page


@pytest.mark.slow
def test_lists_and_tables_are_lists_and_tables(site) -> None:
    """What a browser of the repository shows as a list is none here where no blank line stands before it."""
    for page in site.rglob("*.html"):
        text = re.sub(r"(?s)<(code|pre|script|style)\b.*?</\1>", "", page.read_text("utf-8"))
        for paragraph in re.findall(r"(?s)<p>(.*?)</p>", text):
            assert not re.search(r"(?m)^(\* |\d\. |\|.*\|$)", paragraph), (page.name, paragraph[:200])
