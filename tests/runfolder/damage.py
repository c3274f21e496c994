"""Ways to damage a file of a run folder, as kills, full disks, editors and spreadsheets do."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


DEEP = '{"a": ' * 50_000 + "0" + "}" * 50_000


def of_bytes(change: Callable[[bytes], bytes]) -> Damage:
    """A damage that changes what a file holds."""
    return lambda path: (path.write_bytes(change(path.read_bytes())), None)[1]


def of_text(change: Callable[[str], str]) -> Damage:
    return of_bytes(lambda content: change(content.decode()).encode())


def of_row(change: Callable[[str], str], row: int = 2) -> Damage:
    """A damage of one line of a table, the heading being line 0; the first row where there are no more."""

    def changed(text: str) -> str:
        rows = text.splitlines(keepends=True)
        place = min(row, len(rows) - 1)
        rows[place] = change(rows[place].rstrip("\n")) + "\n"
        return "".join(rows)

    return of_text(changed)


def of_heading(change: Callable[[list[str]], list[str]]) -> Damage:
    return of_row(lambda line: ",".join(change(line.split(","))), 0)


def of_json(change: Callable[[dict], object]) -> Damage:
    """A damage of what a JSON file says; ``change`` edits the content, or returns another."""

    def changed(text: str) -> str:
        content = json.loads(text)
        other = change(content)
        return json.dumps(content if other is None else other, indent=2)

    return of_text(changed)


def setting(*place: str, to: object) -> Damage:
    """A damage of one value of a JSON file."""

    def change(content: dict) -> None:
        for key in place[:-1]:
            content = content[key]
        content[place[-1]] = to

    return of_json(change)


def drop_column(text: str) -> str:
    """The table without its third column."""
    return "".join(",".join([*c[:2], *c[3:]]) + "\n" for c in (line.split(",") for line in text.splitlines()))


def foreign_column(text: str) -> str:
    return "".join(f"{line},{n or 'extra'}\n" for n, line in enumerate(text.splitlines()))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("mine")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


ANY: dict[str, Damage] = {
    "absent": Path.unlink,
    "empty": of_bytes(lambda b: b""),
    "cut in the middle": of_bytes(lambda b: b[: len(b) // 2 + 3].rstrip(b"\n")),
    "cut by its last byte": of_bytes(lambda b: b[:-1]),
    "byte-order mark": of_bytes(lambda b: b"\xef\xbb\xbf" + b),
    "utf-16": of_bytes(lambda b: b.decode().encode("utf-16")),
    "not utf-8": of_bytes(lambda b: b[:40] + b"\xff\xfe" + b[40:]),
    "nul bytes at its end": of_bytes(lambda b: b + b"\0" * 64),
    "nul bytes in the middle": of_bytes(lambda b: b[: len(b) // 2] + b"\0" * 16 + b[len(b) // 2 + 16 :]),
    "nul bytes alone": of_bytes(lambda b: b"\0" * len(b)),
    "a line of a picture": of_bytes(lambda b: b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
    "a folder": folder,
    "a fifo": fifo,
    "a dangling link": dangling_link,
}
TABLE: dict[str, Damage] = {
    "semicolons": of_text(lambda t: t.replace(",", ";")),
    "tabs": of_text(lambda t: t.replace(",", "\t")),
    "a missing column": of_text(drop_column),
    "a foreign column": of_text(foreign_column),
    "a column renamed": of_heading(lambda c: [*c[:-1], "mine"]),
    "a column twice": of_heading(lambda c: [*c[:-1], c[0]]),
    "no heading": of_text(lambda t: t.partition("\n")[2]),
    "a blank heading": of_row(lambda line: "", 0),
    "a row with a cell too many": of_row(lambda line: line + ",1", 1),
    "a row with a cell too few": of_row(lambda line: line.rpartition(",")[0], 1),
    "a blank row": of_row(lambda line: "\n" + line, 1),
    "an open quote": of_row(lambda line: '"' + line, 1),
    "a huge line": of_row(lambda line: line + "x" * 3_000_000, 1),
    "a huge row of cells": of_row(lambda line: line + "," * 300_000, 1),
    "carriage returns": of_bytes(lambda b: b.replace(b"\n", b"\r\n")),
    "old carriage returns": of_bytes(lambda b: b.replace(b"\n", b"\r")),
}


def text_in(column: str, text: str) -> Damage:
    """A damage of one cell of the second row (or the first, where there is one)."""

    def change(table: str) -> str:
        rows = [line.split(",") for line in table.splitlines()]
        rows[min(2, len(rows) - 1)][rows[0].index(column)] = text
        return "".join(",".join(row) + "\n" for row in rows)

    return of_text(change)


CELLS: dict[str, list[tuple[str, str]]] = {
    "per_image.csv": [
        *(("average_drop", text) for text in ("high", "0,5", "1e", "--", "0x1F", "inf", "1_000", "True", "12 %")),
        *(("probability", "x"), ("predicted", "cat"), ("class", "1.5"), ("label", "x"), ("difficult", "2")),
        *(("status", "fine"), ("status", ""), ("status", "okay"), ("protocol", "popi"), ("method", "GradCAM")),
        *(("image", "other.png"), ("category", "dog")),
        *(("protocol_version", text) for text in ("2", "x", "", "1.5")),
    ],
    "summary.csv": [
        ("average_drop", "high"),
        ("images", "many"),
        ("adcc_low", "x"),
        ("method", "x"),
        ("protocol", "x"),
        *(("protocol_version", text) for text in ("2", "x", "")),
    ],
    "timing.csv": [("median_ms", "fast"), ("repeats", "x"), ("method", "x"), ("scope", "x")],
    "skipped.csv": [("protocol", "x"), ("image", "x")],
    "images.csv": [("bytes", "many"), ("modified", "now"), ("sha256", "x"), ("truth", "x")],
}
JSON: dict[str, Damage] = {
    "a list": of_json(lambda c: [c]),
    "a string": of_json(lambda c: "x"),
    "a number": of_json(lambda c: 2),
    "null": of_bytes(lambda b: b"null\n"),
    "nested too deeply": of_bytes(lambda b: b"[" * 200_000),
    "nested deeply inside": of_text(
        lambda t: t.replace('"seed": 0', '"seed": ' + '{"a": ' * 50_000 + "0" + "}" * 50_000)
    ),
    "a number too long": of_text(lambda t: t.replace('"seed": 0', '"seed": ' + "9" * 10_000)),
    "format 99": setting("format", to=99),
    "format 0": setting("format", to=0),
    "format of words": setting("format", to="two"),
    "format a list": setting("format", to=[2]),
    "fingerprint a list": setting("fingerprint", to=[1]),
    "fingerprint a string": setting("fingerprint", to="x"),
    "seconds in words": setting("seconds", "explain", to="long"),
    "seconds a list": setting("seconds", to=[1]),
    "starts a number": setting("starts", to=5),
    "starts a string": setting("starts", to="once"),
    "starts an object": setting("starts", to={"a": 1}),
    "metrics a string": setting("metrics", to="adcc"),
    "metrics unknown": setting("metrics", to=["zzz"]),
    "metrics a number": setting("metrics", to=3),
    "images in words": setting("images", to="many"),
    "images a list": setting("images_total", to=[4]),
    "finished a number": setting("finished", to=1),
    "finished a list": setting("finished", to=[]),
    "class_source a list": setting("class_source", to=["x"]),
    "dataset a number": setting("dataset", to=4),
    "difficult_by a list": setting("difficult_by", to=["x"]),
    "commit a list": setting("commit", to=["x"]),
    "definitions a list": setting("definitions", to=[1]),
    "definitions a string": setting("definitions", to="x"),
    "no metrics defined": setting("definitions", "metrics", to={}),
    "no methods defined": setting("definitions", "methods", to={}),
    "no protocols defined": setting("definitions", "protocols", to={}),
    "metrics of definitions a list": setting("definitions", "metrics", to=["adcc"]),
    "a metric without columns": setting(
        "definitions", "metrics", "adcc", to={"title": "ADCC", "higher_is_better": True}
    ),
    "a metric of no columns": setting("definitions", "metrics", "adcc", "columns", to=[]),
    "columns a string": setting("definitions", "metrics", "adcc", "columns", to="adcc"),
    "an unknown aggregation": setting("definitions", "metrics", "adcc", "aggregation", to="median"),
    "an unknown term": setting("definitions", "metrics", "adcc", "terms", to=["zzz"]),
    "a term too many": setting("definitions", "metrics", "increase", "terms", to=["zzz"]),
    "a direction in words": setting("definitions", "metrics", "adcc", "higher_is_better", to="up"),
    "a title of lines": setting("definitions", "metrics", "adcc", "title", to="AD\nCC|"),
    "a foreign key": setting("definitions", "metrics", "adcc", "mine", to=1),
    "a method of options in words": setting("definitions", "methods", "gradcam", "options", to="x"),
    "a protocol of no version": setting("definitions", "protocols", "poppi-2021", to={"classes": "predicted"}),
    "a protocol a number": setting("definitions", "protocols", "poppi-2021", to=1),
}
YAML: dict[str, Damage] = {
    "a list": of_bytes(lambda b: b"- a\n"),
    "words": of_bytes(lambda b: b"words\n"),
    "nested too deeply": of_bytes(lambda b: b"a: " + b"[" * 20_000),
    "an alias of itself": of_bytes(lambda b: b"a: &a [*a]\n"),
    "an unknown key": of_bytes(lambda b: b + b"mine: 1\n"),
    "a missing key": of_text(lambda t: re.sub(r"methods:\n(- .*\n(  .*\n)*)+", "", t)),
    "text for a number": of_text(lambda t: t.replace("batch_size: 2", "batch_size: two")),
    "an unset variable": of_text(lambda t: re.sub(r"root: .*", "root: ${RCAM_NOT_SET}/x", t)),
    "tabs": of_text(lambda t: t.replace("  ", "\t")),
    "a huge line": of_bytes(lambda b: b + b"# " + b"x" * 3_000_000 + b"\n"),
}
