"""Which metrics rank methods as the truth does: read from a run on data whose truth is known.

    rcam-bench run --config synthetic --output results/synthetic --set maps=0
    python scripts/known_truth.py results/synthetic --output results/known_truth

The truth is relevance rank accuracy on the masks: the share of a map's k highest pixels that lie on the object of k
pixels. It has no threshold and no scale (any increasing function of a map has the same), is 1 for the object alone, and
asks the network nothing. Whatever metrics and methods the run has are judged; it needs the controls oracle, random and
ones. `metrics.csv` has a row a metric, `ranks.csv` the place of each method by each metric, `pairs.csv` the pairs of
methods that the truth tells apart.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.registry import EXPLAINERS
from reciprocam_bench.reporting.compare import UNTOLD, comparison
from reciprocam_bench.reporting.tables import to_markdown
from reciprocam_bench.runfolder.record import RunRecord, read_record

TRUTH = "relevance_rank_accuracy"
LEAST = 0.5  # Kendall's tau: three of four pairs in the order of the truth
CONTROLS = ("oracle", "random", "ones")
PAGE = """# Which metrics rank methods as the truth does

Made by `scripts/known_truth.py` of [this run](../{run}): {images} pictures of `{dataset}`, network {model}, protocol
{protocol}. What is asked, and what follows, is on [its page](../../docs/known_truth.md).

{table}

Tau is over the {pairs} pairs of methods that the truth tells apart (`pairs.csv`). By the truth, in percent:

{truth}
"""
KEPT = ("rcam-bench", "commit", "python", "packages", "platform", "device", "cpu_cores", "threads", "date", "weights")

Pair = tuple[str, str]


def scores(record: RunRecord, protocol: str) -> pd.DataFrame:
    """A row a method and a column a metric, in percent, higher is better everywhere.

    To two decimals, or three digits where there would be fewer: values that a reader sees as equal are.
    """
    summary = record.summary()
    if summary is None:
        raise UserError(f"{record.path} has no summary; finish the run first")
    table = summary[summary["protocol"] == protocol].set_index("method")
    names = {name: m.higher_is_better for name, m in record.metrics.items() if name in table}
    return pd.DataFrame({name: (1 if up else -1) * table[name].map(_as_read) for name, up in names.items()})


def _as_read(value: float) -> float:
    return round(value, 2) if abs(value) >= 1 else float(f"{value:.3g}")


def told_apart(record: RunRecord, protocol: str, real: list[str]) -> list[Pair]:
    """The pairs of methods that the truth tells apart after Holm's adjustment, the better one first."""
    pairs = comparison([record], metrics=[TRUTH])
    pairs = pairs[(pairs["protocol"] == protocol) & pairs["method"].isin(real) & pairs["against"].isin(real)]
    pairs = pairs[~pairs["verdict"].str.startswith(UNTOLD)]
    named = zip(pairs["method"], pairs["against"], pairs["difference"], strict=True)
    return [(first, second) if difference > 0 else (second, first) for first, second, difference in named]


def judge(score: pd.Series, pairs: list[Pair], real: list[str], control: dict[str, str]) -> dict[str, object]:
    """What one metric makes of the controls, and of the pairs whose order is known."""
    methods, of = score[real], {name: score[title] for name, title in control.items()}
    agreement = [float(score[better] > score[worse]) - float(score[better] < score[worse]) for better, worse in pairs]
    row: dict[str, object] = {
        "oracle first": bool((methods <= of["oracle"]).all()),
        "random last": bool((methods > of["random"]).all()),
        "ones last": bool((methods > of["ones"]).all()),
        "tau": sum(agreement) / len(agreement),
    }
    return row | {"trusted": all(list(row.values())[:3]) and sum(agreement) >= LEAST * len(agreement)}


def kinds(record: RunRecord) -> tuple[list[str], dict[str, str]]:
    """The titles of the methods that explain, and those of the controls that are asked for, by name."""
    names = {title: method.name for title, method in record.definitions.methods.items()}
    control = {name: title for title, name in names.items() if name in CONTROLS}
    missing = [name for name in CONTROLS if name not in control]
    if missing or TRUTH not in record.metrics:
        what = f"method '{missing[0]}'" if missing else f"metric '{TRUTH}'"
        raise UserError(f"{record.path} has no {what}; add it to the config and run again")
    return [title for title, name in names.items() if not EXPLAINERS.get(name).control], control


def table_of(record: RunRecord, protocol: str, pairs: list[Pair]) -> pd.DataFrame:
    """A row a metric: the truth, then those that ask for the objects as it does, then the others."""
    (real, control), found = kinds(record), scores(record, protocol)
    rows = []
    for name in sorted(found, key=lambda n: (n != TRUTH, not record.metrics[n].localised)):
        about = {"metric": name, "asks": "the objects" if record.metrics[name].localised else "map and network"}
        rows.append(about | judge(found[name], pairs, real, control))
    return pd.DataFrame(rows)


def for_reading(table: pd.DataFrame) -> str:
    """The table as Markdown: words instead of truth values."""
    words = table.replace({True: "yes", False: "no"}).infer_objects()
    words["tau"] = [f"{tau:+.2f}" for tau in table["tau"]]
    words["trusted"] = ["**yes**" if trusted else "no" for trusted in table["trusted"]]
    return to_markdown(words).rstrip("\n")


def truth_of(record: RunRecord, protocol: str) -> pd.DataFrame:
    """The methods by the truth, the best first."""
    summary = record.summary()
    assert summary is not None  # scores has seen to it
    table = summary[summary["protocol"] == protocol].sort_values(TRUTH, ascending=False, kind="stable")
    columns = [table["method"], *(table[f"{TRUTH}{end}"].map("{:.2f}".format) for end in ("", "_low", "_high"))]
    return pd.concat(columns, axis=1, keys=["method", TRUTH, "95 % from", "to"])


def texts(run: Path) -> Iterator[tuple[str, str]]:
    """The files made of a run folder: name and content."""
    record = read_record(run)
    protocol = record.config.named_protocols[0]
    pairs = told_apart(record, protocol, kinds(record)[0])
    if not pairs:
        raise UserError(f"{run}: the truth tells no two methods apart; give it more images")
    table = table_of(record, protocol, pairs)
    ranks = scores(record, protocol).rank(ascending=False, method="min").astype(int)
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    about = {name: environment[name] for name in KEPT if name in environment}
    facts = {"images": int(record.environment.images_total or 0), "dataset": record.dataset}
    facts |= {
        "model": record.config.backbone.model,
        "protocol": protocol,
        "run": run.resolve().name,
        "pairs": len(pairs),
    }
    shown = {"table": for_reading(table), "truth": to_markdown(truth_of(record, protocol)).rstrip("\n")}
    yield "metrics.csv", table.to_csv(index=False, float_format="%.4f", lineterminator="\n")
    yield "ranks.csv", ranks.to_csv(lineterminator="\n")
    yield "pairs.csv", pd.DataFrame(pairs, columns=["better", "worse"]).to_csv(index=False, lineterminator="\n")
    yield "table.md", shown["table"] + "\n"
    yield "truth.md", shown["truth"] + "\n"
    yield "README.md", PAGE.format(**facts, **shown)
    yield (
        "environment.json",
        json.dumps(about | {"pairs": len(pairs), "least": LEAST}, indent=1) + "\n",
    )


def main() -> None:
    """Read, judge, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a run on data with annotated objects")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    try:
        made = dict(texts(given.run))
    except UserError as error:
        parser.error(str(error))
    given.output.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (given.output / name).write_text(text, encoding="utf-8")
    print(made["table.md"], end="")


if __name__ == "__main__":
    main()
