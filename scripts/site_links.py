"""Links of pages lead to the same places on the site as in a browser of the repository; `mkdocs.yml` names this hook.

Pages link to each other and to files of the repository as these lie there. On the site ``docs/`` is the root, a file
outside of it that a page links to keeps its path, and ``docs/index.md`` stands for the README.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# What a Markdown link names, its anchor left out; a link to an anchor of the same page names nothing.
_TARGET = re.compile(r"(?<=\]\()(?!\w+:)[^)\s#]+(?=[#)])")


def linked(page: Path, target: str) -> Path | None:
    """The file of the repository that a page's link names, None where there is none.

    Of a folder it is the page in it, or the summary of a run.
    """
    path = (page.parent / target).resolve()
    if path.is_dir():
        path = next((path / name for name in ("README.md", "summary.csv") if (path / name).is_file()), path)
    return path if path.is_file() and path.is_relative_to(ROOT) else None


def place(path: Path) -> str:
    """Where a file of the repository lies among the sources of the site."""
    name = path.relative_to(ROOT).as_posix()
    return "index.md" if name == "README.md" else name.removeprefix("docs/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the files outside of docs/ that pages link to, and those that these link to."""
    todo = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    while todo:
        page = todo.pop()
        for target in _TARGET.findall(page.read_text("utf-8")):
            path = linked(page, target)
            if path is not None and place(path) not in files.src_uris:
                files.append(File(place(path), str(ROOT), config.site_dir, config.use_directory_urls))
                todo += [path] if path.suffix == ".md" else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page to where their files lie on the site; what names no file is left for mkdocs to tell."""
    source, folder = Path(str(page.file.abs_src_path)), posixpath.dirname(page.file.src_uri)

    def turned(found: re.Match[str]) -> str:
        path = linked(source, found[0])
        return found[0] if path is None else posixpath.relpath(place(path), folder or ".")

    return _TARGET.sub(turned, markdown)
