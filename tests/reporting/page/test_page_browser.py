"""The page of a real run in a real browser: it sorts, filters, switches its theme, and complains of nothing."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
from PIL import Image
from safetensors.numpy import save_file
from small_runs import rows, values, write

from reciprocam_bench.reporting.page.write import write_page
from reciprocam_bench.reporting.summary import write_tables
from reciprocam_bench.runfolder.raw_maps import drawn_path

webdriver: Any = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (the extra dev)")
wait: Any = pytest.importorskip("selenium.webdriver.support.wait")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="Chromium and its driver are not on this machine"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("browser")
    root = tiny_runs.draw_classes(place / "pictures")
    timing = {"repeats": 2, "warmup": 0}
    methods = ["gradcam", "reciprocam", "center"]
    metrics = ["average_drop", "increase", "average_gain", "coherency", "complexity", "adcc", "gini", "entropy"]
    settings = {
        "metrics": metrics,
        "methods": methods,
        "classes": "label",
        "maps": 6,
        "save_maps": True,
        "timing": timing,
    }
    tiny_runs.run(tiny_runs.config(root, **settings), place / "run")
    return write_page([place / "run"])


@pytest.fixture
def opened(browser: Any, page: Path) -> Iterator[Any]:
    browser.set_window_size(1200, 900)
    browser.get(page.as_uri())
    drawn(browser)
    yield browser
    found = [entry["message"] for entry in browser.get_log("browser")]
    assert found == []


def texts(browser: Any, where: str) -> list[str]:
    return browser.execute_script("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", where)


def drawn(browser: Any) -> str:
    """Wait for the gallery: a page may still be on its way when the driver says that it is there. What it counts."""
    (count,) = wait.WebDriverWait(browser, 30).until(lambda driver: list(filter(None, texts(driver, "#g-count"))))
    return count


def choose(browser: Any, select: str, text: str) -> None:
    for option in browser.find_elements("css selector", f"#{select} option"):
        if option.text == text:
            option.click()
            return
    raise AssertionError(f"{select} has no {text}")


def test_a_column_sorts_by_its_numbers_both_ways_and_by_keyboard(opened: Any) -> None:
    heads = opened.find_elements("css selector", "#summary-table th")
    place = next(i for i, head in enumerate(heads) if head.text.startswith("Coherency"))
    cells = f"#summary-table tbody td:nth-child({place + 1})"

    def values() -> list[float]:
        return [float(v) for v in opened.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.dataset.v)", cells
        )]  # fmt: skip

    before = values()
    button = heads[place].find_element("tag name", "button")
    button.click()
    assert values() == sorted(before, reverse=True) and len(set(before)) > 1
    assert heads[place].get_attribute("aria-sort") == "descending"
    button.send_keys("\n")
    assert values() == sorted(before) and heads[place].get_attribute("aria-sort") == "ascending"


def test_the_headings_of_a_long_table_stay_in_sight(opened: Any) -> None:
    metrics = {"width": 1200, "height": 200, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        scrolled, *moved = opened.execute_script("""
            const table = document.getElementById('summary-table'), box = table.parentElement;
            const places = () => [table.tHead.rows[0].cells[2], table.tBodies[0].rows[0]].map(
                (e) => e.getBoundingClientRect().top - box.getBoundingClientRect().top);
            const [head, row] = places();
            box.scrollTop = 1000;
            const [head_now, row_now] = places();
            return [box.scrollTop, head_now - head, row_now - row, head_now];""")
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert scrolled > 40
    assert moved[1] == -scrolled and -scrolled < moved[0] <= 0 and moved[2] == 0


def test_the_gallery_filters_and_orders(opened: Any) -> None:
    assert len(texts(opened, ".image")) == 6
    assert opened.execute_script(
        "return [...document.querySelectorAll('.maps img')].every(i => i.complete && i.naturalWidth > 0)"
    )
    # A map that is painted has more than one colour.
    assert (
        opened.execute_script(
            "return [...document.querySelectorAll('.maps canvas')].filter(c => new Set("
            "c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size > 8).length"
        )
        >= 12
    )
    choose(opened, "g-method", "reciprocam")
    assert set(texts(opened, ".maps b")) == {"image", "reciprocam"}
    choose(opened, "g-order", "worst first")
    found = [float(t.split()[-1]) for t in texts(opened, ".maps div div") if t.startswith("ADCC")]
    assert len(found) == 6 and found == sorted(found)
    choose(opened, "g-order", "best first")
    again = [float(t.split()[-1]) for t in texts(opened, ".maps div div") if t.startswith("ADCC")]
    assert again == found[::-1]
    assert not any(t.startswith("Entropy") for t in texts(opened, ".maps div div")), "two scores too many for a card"
    choose(opened, "g-metric", "Entropy ↓")
    found = [float(t.split()[-1]) for t in texts(opened, ".maps div div") if t.startswith("Entropy")]
    assert len(found) == 6 and found == sorted(found)
    _all, name, *others = texts(opened, "#g-class option")
    assert others, "of one class alone nothing could be filtered"
    choose(opened, "g-class", name)
    shown = texts(opened, ".image > p")
    assert 0 < len(shown) < 6 and all(f"explained: {name}" in text for text in shown)
    choose(opened, "g-order", "failed maps")
    assert texts(opened, ".image") == [] and texts(opened, "#g-count")[0].startswith("0 of 6")


def test_the_times_are_led_to_and_opened(opened: Any) -> None:
    table = opened.find_element("id", "timing-1")
    assert not table.is_displayed()
    opened.find_element("link text", "Times").click()
    wait.WebDriverWait(opened, 10).until(lambda driver: table.is_displayed())


def test_no_score_is_broken_over_two_lines(opened: Any) -> None:
    opened.execute_script("document.querySelectorAll('.maps > div').forEach(e => { e.style.width = '6rem'; })")
    # A span in a flexible box is one box however it breaks: its text has a rectangle a line.
    lines = opened.execute_script("""return [...document.querySelectorAll('.score span')].map(e => {
        const text = document.createRange();
        text.selectNodeContents(e);
        return text.getClientRects().length;
    })""")
    assert len(lines) > 20 and set(lines) == {1}


def test_the_theme_switches_and_is_kept(opened: Any) -> None:
    def paper() -> str:
        return opened.execute_script("return getComputedStyle(document.body).backgroundColor")

    before = paper()
    opened.find_element("id", "theme").click()
    switched = paper()
    assert {before, switched} == {"rgb(255, 255, 255)", "rgb(22, 22, 26)"}
    opened.refresh()
    assert paper() == switched
    opened.find_element("id", "theme").click()
    assert paper() == before


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_window(opened: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_on_paper_all_is_dark_on_white_and_nothing_needs_scrolling(opened: Any) -> None:
    def seen(element: str, what: str) -> str:
        return opened.execute_script(f"return getComputedStyle(document.querySelector('{element}')).{what}")

    opened.find_element("id", "theme").click()
    opened.execute_script("document.documentElement.dataset.theme = 'dark'")
    assert seen("body", "color") == "rgb(236, 236, 240)" and seen("#summary .scroll", "overflowX") == "auto"
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    # A4 less its margins, in CSS pixels
    metrics = {"width": 718, "height": 1047, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert seen("body", "color") == "rgb(27, 27, 30)" and seen("body", "backgroundColor") == "rgb(255, 255, 255)"
        assert seen("#summary .scroll", "overflowX") == "visible" and seen("#filters", "display") == "none"
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 718
        closed = "return document.querySelectorAll('details:not([open])').length"
        before = opened.execute_script(closed)
        opened.execute_script("dispatchEvent(new Event('beforeprint'))")
        assert before > 1 and opened.execute_script(closed) == 0
        opened.execute_script("dispatchEvent(new Event('afterprint'))")
        assert opened.execute_script(closed) == before
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.execute_script("localStorage.clear()")


def test_long_names_of_runs_are_broken_on_a_phone(browser: Any, tmp_path: Path) -> None:
    folders = []
    for number in range(2):
        folders.append(
            write(tmp_path / f"resnet18_imagenet_every_metric_500_images_{number}", rows({"cam": values(3, 1)}))
        )
        write_tables(folders[-1])
    metrics = {"width": 320, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.get(write_page(folders).as_uri())
        drawn(browser)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 320
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_five_hundred_images_of_six_methods_are_below_5_mb_and_open_within_2_s(browser: Any, tmp_path: Path) -> None:
    methods = ["cam", "gradcam", "gradcam++", "scorecam", "reciprocam", "layercam"]
    run = write(tmp_path / "run", rows({method: values(500, seed) for seed, method in enumerate(methods)}))
    write_tables(run)
    rng = np.random.default_rng(0)
    for i in range(500):
        path = drawn_path(run, "poppi-2021", f"{i:03d}.png", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({method: rng.random((14, 14), dtype=np.float32) for method in methods}, path)
        noise = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((160, 160)).save(path.with_suffix(".jpg"), quality=80)
    page = write_page([run])
    assert page.stat().st_size < 5_000_000
    browser.get(page.as_uri())
    assert drawn(browser) == "500 of 500 images and classes"  # none without a picture
    took = []
    for _ in range(3):  # the machine may have other work
        browser.refresh()
        took.append(browser.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert 0 < min(took) < 2000
    assert browser.get_log("browser") == []
