"""A paper's table and claims: which networks, methods and metrics in which order, and what was said of them.

A paper is a YAML file in ``papers/``; the values it printed are in ``published.csv`` under its name.
"""

from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.titles import with_arrow

_FOLDER = files("reciprocam_bench.protocols") / "papers"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Named(_Strict):
    """Something of ours by its id, and how the paper prints it."""

    id: str
    title: str


class PaperDataset(Named):
    """A data set, and how many images its values are of."""

    images: int


class PaperMethod(Named):
    """A row of the table; ``ours`` are the titles of our variants that may be it, the row's own id if left out."""

    ours: list[str] = []

    @property
    def variants(self) -> list[str]:
        """The titles of our methods that may stand in this row."""
        return self.ours or [self.id]


class Column(Named):
    """A metric of the table: the column of ``summary.csv`` that holds it."""

    better: Literal["higher", "lower"]

    @property
    def heading(self) -> str:
        """The title with its arrow."""
        return with_arrow(self.title, self.better == "higher")

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.better == "higher" else -1


class DifferenceClaim(_Strict):
    """``method`` is better than ``over`` in the metric, on each of the backbones; all of the table if left out."""

    kind: Literal["difference"]
    text: str
    method: str
    over: str
    metric: str
    backbones: list[str] = []


class BestClaim(_Strict):
    """``method`` is better than every other method of the table in the metric, on each backbone."""

    kind: Literal["best"]
    text: str
    method: str
    metric: str
    backbones: list[str] = []


class SpeedupClaim(_Strict):
    """``method`` is at least so many ``times`` faster than ``over``: titles of what is the paper's own pair."""

    kind: Literal["speedup"]
    text: str
    method: list[str]
    over: list[str]
    scope: Literal["end-to-end", "explainer"]
    batch_size: int
    times: float


Claim = Annotated[DifferenceClaim | BestClaim | SpeedupClaim, Field(discriminator="kind")]


class PaperBackbone(Named):
    """A network of the table; ``sha256`` begins that of the file of the paper's weights, where they are a named set."""

    sha256: str = ""


class Paper(_Strict):
    """A table as a paper printed it.

    Attributes:
        protocols: those under which our values may stand beside it, the nearest first.
        weights: the named set that the paper's networks had; empty where that is not known, or says nothing.
        across: what lies side by side in the columns; everything else is in the rows.
        notes: what a reader must know before comparing.
    """

    name: str
    table: str
    citation: str
    protocols: list[str] = Field(min_length=1)
    weights: str = ""
    datasets: list[PaperDataset] = Field(min_length=1)
    backbones: list[PaperBackbone]
    across: list[Literal["dataset", "backbone"]] = []
    methods: list[PaperMethod]
    columns: list[Column]
    notes: list[str] = []
    claims: list[Claim] = []

    def method(self, row: str) -> PaperMethod:
        """A row by its id."""
        return next(m for m in self.methods if m.id == row)

    def column(self, metric: str) -> Column:
        """A column by the id of its metric."""
        return next(c for c in self.columns if c.id == metric)

    @model_validator(mode="after")
    def _of_its_own_table(self) -> Self:
        for claim in self.claims:
            if isinstance(claim, SpeedupClaim):
                continue
            named = {claim.method, *([claim.over] if isinstance(claim, DifferenceClaim) else [])}
            strange = named - {m.id for m in self.methods} | {claim.metric} - {c.id for c in self.columns}
            strange |= set(claim.backbones) - {b.id for b in self.backbones}
            if strange:
                raise ValueError(f"the claim '{claim.text}' names {', '.join(sorted(strange))}, not of the table")
        return self


def paper_names() -> list[str]:
    """The papers that a report can be laid out as."""
    return sorted(p.name.removesuffix(".yaml") for p in _FOLDER.iterdir() if p.name.endswith(".yaml"))


@cache
def load_paper(name: str) -> Paper:
    """Load a paper by name; an unknown one is a ``UserError``."""
    if name not in paper_names():
        raise UserError(f"--paper {name}: no such paper{did_you_mean(name, paper_names())}")
    return Paper.model_validate(yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
