"""Every method and every metric, from what is registered and from docstrings: parts of pages of docs/ as Markdown."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from known_truth import LEAST
from pydantic import TypeAdapter

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.backbones.load import load_backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.registry import EXPLAINERS, ExplainerSpec
from reciprocam_bench.metrics.annotated import LOCALISED
from reciprocam_bench.metrics.metric import Metric
from reciprocam_bench.metrics.registry import METRICS, MetricSpec
from reciprocam_bench.registry import Registry, keyword_options
from reciprocam_bench.reporting.tables import to_markdown
from reciprocam_bench.titles import file_name

DOCS = Path(__file__).resolve().parents[1] / "docs"
# What progress bars count is shown of this network; its weights do not matter.
EXAMPLE = "torchvision/resnet18"
# What a docstring says of a method's cost, and of how a metric misleads.
COST = r"Cost: (.*?)\.(?= (?:No|Needs) gradients|$)"
PITFALL = r"^Pitfall: (.*)\.$"
_KINDS = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "string": "text"}
_BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
_LARGEST = 2**53  # a bound beyond that is one of the computer's, not of the method's
_TRAITS = {
    "class_blind": "its maps are the same for every class",
    "random": "it draws random numbers, the same for the same image, class and seed",
    "fuses_layers": "it reads several layers",
    "control": "it explains nothing and is there to be beaten",
    "objects": "it is shown the annotated objects, which a method is judged by",
}


@dataclass(frozen=True)
class Doc:
    """A docstring: the paragraphs of text, and what each argument means."""

    paragraphs: list[str]
    arguments: dict[str, str]

    def take(self, pattern: str) -> tuple[str, "Doc"]:
        """The first group of the first paragraph that matches, and the docstring without it; "" where none does."""
        for place, text in enumerate(self.paragraphs):
            if found := re.search(pattern, text):
                rest = " ".join((text[: found.start()] + text[found.end() :]).split())
                left = [*self.paragraphs[:place], *([rest] if rest else []), *self.paragraphs[place + 1 :]]
                return found[1], Doc(left, self.arguments)
        return "", self


def read(function: Callable[..., Any]) -> Doc:
    """The docstring of a registered function."""
    sections: dict[str, list[str]] = {"": []}
    name = ""
    for line in (inspect.getdoc(function) or "").splitlines():
        if line in ("Args:", "Raises:", "Returns:"):
            name = line
            continue
        if line and not line.startswith(" "):
            name = ""
        sections.setdefault(name, []).append(line)
    paragraphs = [" ".join(part.split()) for part in "\n".join(sections[""]).split("\n\n") if part.strip()]
    arguments = re.split(r"(?m)^ {4}(\w+): ", "\n".join(sections.get("Args:", [])))[1:]
    return Doc(paragraphs, {n: " ".join(t.split()) for n, t in zip(arguments[::2], arguments[1::2], strict=True)})


def of_ours(registry: Registry[Any]) -> Iterator[tuple[str, Any]]:
    """What this package registers, in the order of names; what plug-ins add is not of these pages."""
    for name, spec in registry.all().items():
        if spec.function.__module__.startswith("reciprocam_bench."):
            yield name, spec


def plain(text: str) -> str:
    """A docstring's text as Markdown: what stands outside of code has no stars and tags of its own."""
    parts = re.split(r"(``.+?``|`.+?`)", text)
    return "".join(part if place % 2 else re.sub(r"[*<]", r"\\\g<0>", part) for place, part in enumerate(parts))


def options(function: Callable[..., Any], meanings: dict[str, str]) -> str:
    """A table of the options, their defaults and what they may be; "" where there are none."""
    rows = []
    for name, parameter in keyword_options(function).items():
        row = {"option": f"`{name}`", "default": _default(parameter.default)}
        row |= {"may be": _values(TypeAdapter(parameter.annotation).json_schema())}
        rows.append(row | {"meaning": plain(meanings.get(name, ""))})
    table = pd.DataFrame(rows)
    if not len(rows):
        return ""
    return "\n" + to_markdown(table if table["meaning"].any() else table.drop(columns="meaning"))


def _default(value: object) -> str:
    return "" if value is None else f"`{value}`".lower() if isinstance(value, bool) else f"`{value}`"


def _values(schema: dict[str, Any]) -> str:
    """What a JSON schema of one option lets through, in words."""
    if "anyOf" in schema:
        return " or ".join(_values(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"a list: {_values(schema['items'])}"
    bounds = [f"{word} {schema[key]:g}" for key, word in _BOUNDS.items() if abs(schema.get(key, _LARGEST)) < _LARGEST]
    return " ".join([_KINDS[schema["type"]], *bounds])


def methods() -> str:
    """A part for each method: formula, source, cost, what else is special of it, and its options."""
    backbone = load_backbone(EXAMPLE, weights="none")
    return "\n".join(_method(name, spec, backbone) for name, spec in of_ours(EXPLAINERS))


def _method(name: str, spec: ExplainerSpec, backbone: Backbone) -> str:
    cost, doc = read(spec.function).take(COST)
    _, doc = doc.take(r"((?:No|Needs) gradients(?: if [^.]*)?\.)")
    facts = {"Cost": f"{plain(cost)}{_counted(spec, backbone)}", "Gradients": "needed" if spec.gradients else "none"}
    special = [words for trait, words in _TRAITS.items() if getattr(spec, trait)]
    facts |= {"Special": "; ".join(special)} if special else {}
    picture = picture_of(name)
    shown = f"![Where {name} finds the cat]({picture.relative_to(DOCS).as_posix()})\n\n" if picture.exists() else ""
    return _entry(name, doc, facts, options(spec.function, doc.arguments), shown)


def picture_of(method: str) -> Path:
    """Where the picture of a method's map lies, made by ``docs_pictures.py``."""
    return DOCS / "images" / "methods" / f"{file_name(method)}.jpg"


def _counted(spec: ExplainerSpec, backbone: Backbone) -> str:
    """What progress bars count, for a method that can explain the example."""
    try:
        if not spec.fuses_layers:  # any network has the layers, and to cut it at each takes seconds
            spec.check(backbone, {})
    except UserError:
        return ""
    count = spec.forwards(backbone, {})
    number = f"{count:,.0f}" if count >= 100 else f"{count:.3g}"
    return f" (counted as {number} forward pass{'es' * (count != 1)})"


def metrics(results: Path) -> str:
    """A part for each metric: formula, source, direction, cost, how a data set's value is made, pitfalls, options."""
    known = pd.read_csv(results / "known_truth" / "metrics.csv").set_index("metric")
    return "\n".join(_metric(name, spec, known) for name, spec in of_ours(METRICS))


def _metric(name: str, spec: MetricSpec, known: pd.DataFrame) -> str:
    pitfall, doc = read(spec.function).take(PITFALL)
    facts = {
        "Title": f"{spec.title} {'↑' if spec.higher_is_better else '↓'}",
        "Cost": _cost(spec),
        "Of a data set": f"the {spec.aggregation.replace('-', ' ')} of {', '.join(f'`{t}`' for t in spec.terms)}"
        if spec.terms
        else f"the {spec.aggregation.replace('-', ' ')}",
        "Reads": ", ".join(f"`{need}`" for need in spec.needs)
        + (", so an image without annotated objects has no value" if not LOCALISED.isdisjoint(spec.needs) else ""),
        "Pitfall": plain(pitfall),
        "Where the truth is known": _judged(known.loc[name]) if name in known.index else "not judged",
    }
    if spec.requires:
        facts["Needs"] = ", ".join(f"`{how}`" for how in spec.requires.values())
    return _entry(name, doc, facts, options(spec.function, doc.arguments))


def _cost(spec: MetricSpec) -> str:
    """What an image costs with the default options, beside the evidence that metrics share."""
    own = Metric(spec.name, spec)
    masked = "masked_explanation" in spec.needs  # which several metrics share
    counts = {"forward passes": own.forwards, "images explained again": own.explains + masked}
    told = [
        f"{count:g} {what if count > 1 else what.replace('passes', 'pass').replace('images', 'image')}"
        for what, count in counts.items()
        if count
    ]
    parts = [f"`{part.spec.name}`" for part in own.parts]
    shared = f"{' and '.join(told)}" if told else "nothing beside what all metrics share"
    return shared + (f"; and what {', '.join(parts)} cost" if parts else "")


def _judged(row: pd.Series) -> str:
    """The faults that a metric has where the truth is known, and how far it orders methods as the truth does."""
    faults = {
        "oracle first": "the truth itself is not first",
        "random last": "noise is not last",
        "ones last": "a map of ones is not last",
    }
    found = [words for column, words in faults.items() if not row[column]]
    if row["tau"] < LEAST:
        found.append("it does not order methods as the truth does")
    return f"{'; '.join(found) or 'no fault seen'}; Kendall's tau with the truth {row['tau']:+.2f}"


def _entry(name: str, doc: Doc, facts: dict[str, str], table: str, picture: str = "") -> str:
    listed = "".join(f"* **{what}**: {text}\n" for what, text in facts.items())
    text = "\n\n".join(plain(paragraph) for paragraph in doc.paragraphs)
    return f"## `{name}`\n\n{text}\n\n{picture}{listed}{table}"
