"""Write the page of a folder that ``gpu_results.sh`` filled: every table, and how far each precision is from float32.

python scripts/gpu_page.py FOLDER writes FOLDER/README.md.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from reciprocam_bench.reporting.report import report
from reciprocam_bench.reporting.tables import to_markdown
from reciprocam_bench.runfolder.disk import write_into
from reciprocam_bench.runfolder.record import RunRecord, read_record

_COLUMNS = ("run", "precision", "compiled", "method", "images", "map %", "metric", "by", "other class")

_AGAINST = """## Against float32

On the first batch: the largest difference of two maps, in percent of their range, the metric that differs most, and
trials for which another class is predicted."""


def main() -> None:
    """Write the page."""
    folder = Path(sys.argv[1])
    records = [read_record(path.parent) for path in sorted(folder.glob("*/done"))]
    if not records:
        sys.exit(f"{folder} holds no finished part; run scripts/gpu_results.sh")
    write_into(folder, "README.md", page(records), "give another folder")


def page(records: list[RunRecord]) -> str:
    """The page as Markdown."""
    devices = sorted({str(record.environment.fingerprint["device"]) for record in records})
    parts = [f"# Figures of {', '.join(devices)}\n\nMade by `scripts/gpu_results.sh`; each folder has its config.\n"]
    rows = [row for record in records for row in differences(record)]
    if rows:
        parts.append(f"{_AGAINST}\n\n{to_markdown(pd.DataFrame(rows, columns=list(_COLUMNS)))}")
    for record in records:
        how = record.config.precision + (", compiled" if record.config.compile else "")
        kinds = ("timing",) if record.config.timing else ("summary",)
        parts.append(f"## {record.path.name}\n\n{how}\n\n{report(record.path, 'markdown', kinds)}")
    return "\n".join(parts)


def differences(record: RunRecord) -> Iterator[list[object]]:
    """A row a method of a run that is not plain float32."""
    found = record.environment.against_float32
    for method, of in found.get("methods", {}).items():
        values = {column: value for column, value in of["metrics"].items() if value is not None}
        worst = max(values, key=lambda column: values[column], default="")
        share = "" if of["map"] is None else f"{100 * of['map']:.2g}"
        other = f"{found['other_class_predicted']} of {found['trials']}"
        how = [record.path.name, found["precision"], "yes" if found["compile"] else "no"]
        yield [*how, method, found["images"], share, worst, values.get(worst, ""), other]


if __name__ == "__main__":
    main()
