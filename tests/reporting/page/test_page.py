"""The page of a run folder: its numbers are those of the tables, its text is escaped, it is one file."""

import csv
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import save_file
from small_runs import calls, rows, time, values, write

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.page import gallery as page_gallery
from reciprocam_bench.reporting.page.cells import from_readable
from reciprocam_bench.reporting.page.gallery import _called, packed
from reciprocam_bench.reporting.page.write import write_page
from reciprocam_bench.reporting.summary import write_tables
from reciprocam_bench.runfolder.raw_maps import PAGE, drawn_path

pytestmark = pytest.mark.slow

METHODS = ["gradcam", "reciprocam", "<i>own & $x$[a=1]"]


class Tables(HTMLParser):
    """The cells of every table of a page: the text, and in brackets the small text below it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[list[str]]]] = {}
        self._rows: list[list[list[str]]] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._rows = self.tables[str(dict(attrs)["id"])] = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append([])
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._rows[-1][-1].append(data)


def folder(path: Path, images: int = 12) -> Path:
    tables = {m: values(images, seed, 0.3 * (m == "reciprocam")) for seed, m in enumerate(METHODS)}
    table = rows(tables)
    table.loc[0, "status"] = "constant"
    run = write(path, table)
    write_tables(run)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = folder(tmp_path_factory.mktemp("page") / "run")
    time(made, calls({"forward": np.full(5, 3.0), "gradcam": np.linspace(4, 5, 5), "reciprocam": np.full(5, 4.0)}))
    (made / "skipped.csv").write_text("protocol,image,reason\n,broken.png,<script>alert(1)</script>\n")
    write_page([made])
    return made


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return (run / "report.html").read_text("utf-8")


def data(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_numbers_are_those_of_summary_csv(run: Path, page: str) -> None:
    shown = Tables(page).tables["summary-table"]
    titles = ["".join(cell).strip(" ↑↓") for cell in shown[0]]
    columns = {"Drop": "average_drop", "Increase": "increase", "Coherency": "coherency"}
    columns |= {"Complexity": "complexity", "ADCC": "adcc"}
    with (run / "summary.csv").open() as file:
        expected = list(csv.DictReader(file))
    assert len(shown) == 1 + len(expected) == 4
    for row, found in zip(expected, shown[1:], strict=True):
        cells = dict(zip(titles, found, strict=True))
        assert "".join(cells["method"]) == row["method"] and cells["images"] == [row["images"]]
        for title, name in columns.items():
            value, detail, *published = cells[title]
            assert value == f"{float(row[name]):.2f}"
            assert detail == f"{float(row[f'{name}_low']):.2f} to {float(row[f'{name}_high']):.2f}"
            known = row[f"{name}_published"]
            assert published == ([f"published {float(known):.2f}"] if known else [])
    assert sum(cell[-1].startswith("published") for cell in shown[1]) == 5  # gradcam's


def test_bold_is_what_the_paired_comparison_tells(page: str) -> None:
    table = page[page.index('id="summary-table"') : page.index("</table>")]
    marked = {html.unescape(row.split("</td>")[0].rpartition(">")[2]): row for row in table.split("<tr>")[2:]}
    assert marked["reciprocam"].count("<b>") == 5 and "<u>" not in marked["reciprocam"]
    others = [row for name, row in marked.items() if name != "reciprocam"]
    assert others and not any("<b>" in row or "<u>" in row for row in others)  # alike: no second is told


def test_everything_is_escaped(page: str) -> None:
    assert "<script>alert" not in page and "<i>own" not in page
    assert "&lt;script&gt;alert(1)" in page and "&lt;i&gt;own &amp; $x$" in page


def test_a_title_breaks_before_its_options_and_stays_escaped(page: str) -> None:
    assert "&lt;i&gt;own &amp; $x$<wbr>[a=1]</td>" in page
    assert ["".join(row[0]) for row in Tables(page).tables["summary-table"][1:]] == METHODS


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page)
    assert not re.search(r"@import|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_every_id_is_there_once(page: str) -> None:
    found = re.findall(r'\sid="([^"]+)"', page)
    assert len(found) == len(set(found))


def test_the_card_counts_what_was_left_out(page: str) -> None:
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert (
        facts["images not judged"] == "1"
        and facts["remarks on images that were judged"] == "0"
        and facts["model"] == "torchvision/resnet18"
    )
    assert facts["constant maps (judged as maps that mark nothing)"] == "1"
    assert "gradcam (poppi-2021): 1 constant of 12 maps" in page


def test_plots_are_written_as_files(run: Path) -> None:
    names = {path.name for path in (run / "plots").iterdir()}
    wanted = ("trade", "metrics", "differences", "distributions", "rounds")
    assert names == {f"{name}.{form}" for name in wanted for form in ("png", "svg")}
    for path in (run / "plots").glob("*.png"):
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 5


def test_no_plot_of_an_earlier_page_is_left(tmp_path: Path) -> None:
    run = folder(tmp_path / "run")
    write_page([run])
    before = {path.name for path in (run / "plots").iterdir()}
    for name in ("metrics_mine.png", "metrics_poppi-2021.png", "metrics_poppi-2021.svg", "curves.svg"):
        (run / "plots" / name).write_bytes(b"old")
    write_page([run])
    assert {path.name for path in (run / "plots").iterdir()} == before | {"metrics_mine.png"}


def test_the_gallery_holds_every_map_and_score(run: Path, page: str) -> None:
    (gallery,) = data(page)["galleries"]
    table = pd.read_csv(run / "per_image.csv")
    assert gallery["methods"] == METHODS and gallery["metrics"][gallery["main"]]["title"] == "ADCC ↑"
    assert gallery["total"] == len(gallery["images"]) == 12
    for image in gallery["images"]:
        for method, of in zip(METHODS, image["of"], strict=True):
            row = table[(table["image"] == image["id"]) & (table["method"] == method)].iloc[0]
            assert of["status"] == row["status"]
            assert of["values"][gallery["main"]] == pytest.approx(100 * row["adcc"], abs=0.005)


def test_the_gallery_orders_by_more_metrics_than_a_card_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write(tmp_path / "run", rows({name: values(9, seed) for seed, name in enumerate(("cam", "gradcam"))}))
    write_tables(run)
    monkeypatch.setattr(page_gallery, "_FEW_METRICS", 2)
    for most, held in (
        (1000, ["Drop", "Increase", "Coherency", "Complexity", "ADCC"]),
        (9 * 2 * 3, ["Drop", "Increase", "ADCC"]),
    ):
        monkeypatch.setattr(page_gallery, "_MOST_VALUES", most)
        (gallery,) = data(write_page([run]).read_text("utf-8"))["galleries"]
        titles = [metric["title"].partition(" ")[0] for metric in gallery["metrics"]]
        assert titles == held and [titles[place] for place in gallery["few"]] == ["Drop", "ADCC"]
        assert titles[gallery["main"]] == "ADCC"
        assert all(len(of["values"]) == len(held) for image in gallery["images"] for of in image["of"])


def test_the_gallery_calls_classes_by_name() -> None:
    assert _called({"1": "goldfish"}, 1) == "goldfish (class 1)" and _called({"1": "goldfish"}, "2") == "class 2"


def test_a_class_explained_that_is_not_the_label_is_told(tmp_path: Path) -> None:
    run = write(tmp_path / "run", rows({"cam": values(2)}, label="7"), class_names={"1": "goldfish"})
    write_tables(run)
    (gallery,) = data(write_page([run]).read_text("utf-8"))["galleries"]
    image = gallery["images"][0]
    assert [image[key] for key in ("class", "output", "predicted", "label")] == [
        "goldfish (class 1)",
        "",
        "",
        "class 7",
    ]


def test_maps_are_packed_as_they_are() -> None:
    width, height, text = packed(np.array([[0.0, 1.0, 2.0], [4.0, 3.0, 2.0]])) or [0, 0, ""]
    assert (width, height, text) == (3, 2, "AECA/7+A")  # 0 64 128 255 191 128
    assert packed(np.ones((2, 2))) is None and packed(np.array([[np.nan, 1.0]])) is None
    assert (packed(np.random.default_rng(0).random((56, 56))) or [])[:2] == [16, 16]


def test_pictures_and_maps_of_sheets_stand_in_the_gallery(tmp_path: Path) -> None:
    run = folder(tmp_path / "run")
    path = drawn_path(run, "poppi-2021", "003.png", 1)
    path.parent.mkdir(parents=True)
    save_file({"gradcam": np.arange(4, dtype=np.float32).reshape(2, 2)}, path)
    Image.new("RGB", (160, 160), "red").save(path.with_suffix(".jpg"))
    (gallery,) = data(write_page([run]).read_text("utf-8"))["galleries"]
    drawn = [image for image in gallery["images"] if image["picture"]]
    assert [image["id"] for image in drawn] == ["003.png"]
    assert drawn[0]["of"][0]["map"] == [2, 2, "AFWq/w=="] and drawn[0]["of"][1]["map"] is None


def test_a_large_run_is_stood_for_by_pictures_and_by_what_failed_or_is_extreme(tmp_path: Path) -> None:
    count = 1500
    table = rows({"cam": values(count)})
    table["image"] = [f"{i:04d}.png" for i in range(count)]
    table.loc[:99, "status"] = "constant"
    table.loc[1400, "status"] = "error: no luck"
    run = write(tmp_path / "run", table)
    write_tables(run)
    for image in table["image"][:700]:
        path = drawn_path(run, "poppi-2021", image, 1, PAGE)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path.with_suffix(".jpg"))
    (gallery,) = data(write_page([run]).read_text("utf-8"))["galleries"]
    shown = [image["id"] for image in gallery["images"]]
    assert len(shown) == 900 and gallery["total"] == count and "1400.png" in shown
    assert set(table["image"][:600]) < set(shown)
    rest = table[600:]
    best, worst = (rest.sort_values("adcc", ascending=up)["image"].iloc[0] for up in (False, True))
    assert {best, worst} < set(shown)


def test_several_runs_stand_in_one_page_and_the_same_twice_does_not(tmp_path: Path) -> None:
    first = folder(tmp_path / "first")
    second = write(tmp_path / "second", rows({m: values(12, 7) for m in ("cam", "gradcam")}))
    write_tables(second)
    page = write_page([first, second])
    assert page == first / "report.html" and (second / "plots/metrics.svg").exists()
    shown = Tables(page.read_text("utf-8")).tables["summary-table"]
    assert [row[1] for row in shown[1:]] == [["first"]] * 3 + [["second"]] * 2
    with pytest.raises(UserError, match="given twice"):
        write_page([first, first])


def test_a_run_of_one_method_says_why_nothing_is_compared(tmp_path: Path) -> None:
    run = write(tmp_path / "run", rows({"cam": values(5)}))
    write_tables(run)
    assert "Methods are not compared: the run holds one method." in write_page([run]).read_text("utf-8")


def test_a_page_of_the_same_files_is_the_same(run: Path, page: str) -> None:
    assert write_page([run]).read_text("utf-8") == page


@pytest.mark.parametrize("place", ["plots", "plots/metrics.png", "report.html"])
def test_what_stands_in_the_way_is_told(tmp_path: Path, place: str) -> None:
    run = write(tmp_path / "run", rows({"cam": values(5)}))
    write_tables(run)
    if place == "plots":
        (run / place).write_text("a file where the folder should be")
    else:
        (run / place).mkdir(parents=True)
    with pytest.raises(UserError, match=f"{place}.* cannot be written: .*; free the disk, or copy the run folder"):
        write_page([run])


def test_cells_sort_by_their_number_and_names_by_their_letters() -> None:
    table = pd.DataFrame(
        {"image": ["2007_000027.jpg", "b.jpg"], "p": ["5e-05", "<0.0001"], "x": ["-.5 to 1", "1. of 3"]}
    )
    made = from_readable(table, "")
    assert made.numeric == [False, True, True]
    assert [[cell.value for cell in row[1:]] for row in made.rows] == [[5e-05, -0.5], [0.0001, 1.0]]
