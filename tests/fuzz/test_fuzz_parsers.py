"""What people write, fuzzed: every text is read or refused in one line, and soon. What once broke stays as an example.

Seeds are fixed, so that a failure is the same everywhere.
"""

import io
import json
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from reciprocam_bench.config import dump_config, parse_config
from reciprocam_bench.config_file import load_experiments
from reciprocam_bench.datasets.annotations import read_annotation
from reciprocam_bench.datasets.coco import coco
from reciprocam_bench.datasets.images import read_picture
from reciprocam_bench.datasets.labels import read_label_file
from reciprocam_bench.datasets.run_lengths import check_run_lengths
from reciprocam_bench.errors import UserError
from reciprocam_bench.overrides import apply_overrides
from reciprocam_bench.reporting.latex import to_latex
from reciprocam_bench.reporting.tables import to_markdown
from reciprocam_bench.runfolder.cells import marked, unmarked
from reciprocam_bench.runfolder.record import read_record
from reciprocam_bench.runfolder.tables import read_table, to_csv
from reciprocam_bench.titles import file_name, parse_title, shortened, title_of
from reciprocam_bench.yaml_file import load_yaml

pytestmark = pytest.mark.slow

GOOD: dict[str, Any] = {"backbone": {"model": "timm/x"}, "dataset": {"name": "folder"}, "methods": ["cam"]}
KEYS = sorted({*GOOD, "metrics", "timing", "classes", "limit", "maps", "pictures", "seed", "protocol", "fit_head", "x"})
# Signs that mean something to one of the parsers.
SIGNS = "[]{}<>:,;&*!|>%@`'\"#-=+?.\\/\n\t\r\0 \ufeff\u2028\udcff~^$_01eEnN"
text = st.text(st.one_of(st.sampled_from(SIGNS), st.characters(codec="utf-8")), max_size=60)
numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([0, -1, 10**12, 10**30, float("inf"), float("nan")]))
leaves = st.one_of(st.none(), st.booleans(), numbers, st.text(string.printable, max_size=12))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)),
    max_leaves=8,
)

fuzz = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def taken(call: Callable[[], Any], *others: type[Exception]) -> Any:
    """What a call returns; None where it refuses in one line, short enough to be read."""
    try:
        return call()
    except (UserError, *others) as error:
        if isinstance(error, UserError):
            assert str(error)
            assert len(str(error)) < 1500
        return None


@fuzz
@given(text)
@example("a: &a [*a]")
@example("? {a: b}\n: c")
@example("a: 2024-13-45")
@example("%YAML 9.9\n---\na: b")
@example("=: 1")
@example("<<: 5")
@example("1: !!binary x")
def test_any_text_is_yaml_or_refused(text: str) -> None:
    taken(lambda: load_yaml(text), yaml.YAMLError, ValueError)


@fuzz
@given(values)
def test_what_yaml_writes_is_read_back(value: Any) -> None:
    written = yaml.safe_dump(value, allow_unicode=True)
    assert repr(load_yaml(written)) == repr(yaml.safe_load(written))


@fuzz
@given(st.dictionaries(st.one_of(st.sampled_from(KEYS), text), values, max_size=5))
@example({"timing": {"batch_size": [10**11]}})
@example({"classes": True})
@example({"limit": 10**30})
@example({"methods": [{"name": "x", "label": ""}]})
@example({"backbone": {"model": "a", "mean": [True]}})
@example({"protocol": [{}]})
def test_any_mapping_is_a_config_or_refused(changes: dict) -> None:
    config = taken(lambda: parse_config(GOOD | changes, "fuzz"))
    if config is not None:
        assert parse_config(load_yaml(dump_config(config)), "back") == config


@fuzz
@given(st.binary(max_size=80))
def test_any_file_is_a_config_or_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    taken(lambda: load_experiments(str(tmp_path / "c.yaml")))


@fuzz
@given(st.lists(st.tuples(text, text).map("=".join), max_size=3))
@example(["backbone=5", "backbone.model=x"])
@example(["a..b=1"])
@example([".=1"])
@example(["methods=reciprocam[mask=gaussian]"])
def test_any_override_is_put_or_refused(overrides: list[str]) -> None:
    taken(lambda: apply_overrides(json.loads(json.dumps(GOOD)), tuple(overrides)))


@fuzz
@given(text)
@example("x[a=[1]")
@example("[" * 50)
@example("x[" + "a=1," * 500 + "]")
def test_any_text_is_a_title_or_refused(text: str) -> None:
    found = taken(lambda: parse_title(text))
    assert found is None or isinstance(found["name"], str)


@fuzz
@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True).filter(lambda k: k not in ("name", "label")), leaves)
)
def test_a_title_reads_back(options: dict[str, Any]) -> None:
    assert repr(parse_title(title_of("x", options))) == repr({"name": "x", **options})


@fuzz
@given(text)
def test_any_name_makes_a_files_name(text: str) -> None:
    assert "/" not in file_name(text) and "\0" not in file_name(text)
    assert len(shortened(text * 9).encode("utf-8", "surrogateescape")) <= 200


SIZE = "<size><width>60</width><height>40</height></size>"


@fuzz
@given(st.tuples(text, text, text, text, text))
@example(("cat", "1e999", "nan", "-inf", "1_0"))
def test_any_box_is_taken_or_refused(tmp_path: Path, parts: tuple[str, ...]) -> None:
    name, *corners = (part.encode("utf-8", "replace").decode() for part in parts)
    places = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
    content = f"<a>{SIZE}<object><name>{name}</name><bndbox>{places}</bndbox></object></a>"
    (tmp_path / "a.xml").write_text(content, encoding="utf-8")
    found = taken(lambda: read_annotation(tmp_path / "a.xml"), ValueError)
    for thing in found.objects if found else ():
        assert 0 <= thing.box.left < thing.box.right <= 60 and 0 <= thing.box.top < thing.box.bottom <= 40


@fuzz
@given(st.lists(text, max_size=4).map("\n".join))
@example("²")
@example("a.png ²")
@example("a.png," + "9" * 5000)
@example('"')
@example('a,b\n"c')
def test_any_label_file_is_read_or_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "labels.txt").write_bytes(content.encode("utf-8", "surrogateescape"))
    found = taken(lambda: read_label_file(str(tmp_path / "labels.txt")))
    assert found is None or all(0 <= label < 1000 for label in found.values())


RECORD = {"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}
OBJECT = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 1, "bbox": [1, 1, 9, 9]}
OBJECT |= {"segmentation": [[1, 1, 9, 1, 9, 9]]}


def some_of(keys: dict[str, Any]) -> st.SearchStrategy[dict]:
    """One or two keys with another value."""
    return st.dictionaries(st.sampled_from(sorted(keys)), values, max_size=2)


@fuzz
@given(some_of(RECORD), some_of(OBJECT), some_of({"id": 1, "name": "cat"}))
@example({"width": "wide"}, {}, {})
@example({"id": []}, {}, {})
@example({}, {"category_id": []}, {})
@example({}, {"segmentation": {"size": [40, 60], "counts": None}}, {})
@example({}, {"segmentation": {}}, {})
@example({}, {}, {"id": "a"})
def test_any_instances_are_read_or_refused(tmp_path: Path, record: dict, thing: dict, category: dict) -> None:
    for name in ("annotations", "val2014"):
        (tmp_path / name).mkdir(exist_ok=True)
    Image.new("RGB", (60, 40)).save(tmp_path / "val2014/a.jpg")
    content = {"images": [RECORD | record], "annotations": [OBJECT | thing]}
    content |= {"categories": [{"id": 1, "name": "cat"} | category]}
    (tmp_path / "annotations/instances_val2014.json").write_text(json.dumps(content))
    taken(lambda: coco(root=str(tmp_path)))


@fuzz
@given(st.one_of(values, text, st.binary(max_size=30)))
@example("0" * 100)
@example("o" * 100)
def test_any_run_lengths_fill_the_image_or_are_refused(counts: Any) -> None:
    taken(lambda: check_run_lengths({"size": [40, 60], "counts": counts}, 60, 40), ValueError)


@fuzz
@given(st.one_of(text, st.text("=+-@'\t\r0", max_size=6)))
def test_a_cell_comes_back_and_is_no_formula(text: str) -> None:
    written = marked(text)
    assert unmarked(written) == text
    if written[:1] in tuple("=+-@\t\r"):
        assert float(written) is not None  # a number


@fuzz
@given(st.lists(st.tuples(text, text, st.floats(-9, 9)), min_size=1, max_size=4))
def test_a_table_comes_back(tmp_path: Path, rows: list[tuple]) -> None:
    clean = [(a.replace("\0", "").replace("\r", ""), b.replace("\0", "").replace("\r", ""), c) for a, b, c in rows]
    table = pd.DataFrame(clean, columns=["a", "b", "value"])
    (tmp_path / "t.csv").write_bytes(to_csv(table).encode("utf-8", "surrogateescape"))
    back = read_table(tmp_path / "t.csv", "", values=["value"])
    assert back[["a", "b"]].to_numpy().tolist() == [[a, b] for a, b, _ in clean]
    assert back["value"].tolist() == table["value"].tolist()


@fuzz
@given(st.lists(text, max_size=5).map("\n".join))
@example('protocol,image\n"')
@example("a,a\n1,2\n")
def test_any_table_is_read_or_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    taken(lambda: read_table(tmp_path / "t.csv", "cure", grows=True))
    taken(lambda: read_table(tmp_path / "t.csv", "cure", values=["a"]))


@fuzz
@given(st.dictionaries(st.sampled_from(["format", "starts", "definitions", "metrics", "seconds", "x"]), values))
def test_any_environment_is_read_or_refused(tmp_path: Path, content: dict) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(GOOD | {"seed": 0}))
    (tmp_path / "environment.json").write_text(json.dumps(content))
    (tmp_path / "per_image.csv").write_text("protocol,image\n")
    record = taken(lambda: read_record(tmp_path))
    if record is not None:
        taken(record.rows)


@fuzz
@given(st.lists(st.tuples(text, text), min_size=1, max_size=3))
@example([("", "\r")])
@example([("a\u2028b", "<script>|x|</script>")])
def test_names_stay_names_in_tables_for_readers(rows: list[tuple[str, str]]) -> None:
    table = pd.DataFrame(rows, columns=["method", "image"])
    lines = to_markdown(table).splitlines()
    assert len(lines) == len(rows) + 2
    for line in lines:
        assert line.replace("\\|", "").count("|") == 3
        assert not re.search(r"(?<!\\)<[A-Za-z/!?]", line)
    assert "\\write18" not in to_latex(table.assign(method="\\write18{x}"), "c", "tab:x")


@fuzz
@given(st.binary(max_size=200), st.integers(0, 250))
def test_a_damaged_image_is_read_or_refused(tmp_path: Path, noise: bytes, place: int) -> None:
    for kind in ("png", "gif", "bmp", "tiff"):
        buffer = io.BytesIO()
        Image.new("RGB", (9, 9), (1, 2, 3)).save(buffer, kind)
        content = bytearray(buffer.getvalue())
        content[place : place + len(noise)] = noise
        (tmp_path / "a.png").write_bytes(bytes(content))
        found = taken(lambda: read_picture(str(tmp_path / "a.png")), ValueError)
        assert found is None or found.image.mode == "RGB"
