"""What a run folder holds: its files, their columns, and the format's number."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from reciprocam_bench.aggregation import AGGREGATIONS, column_of
from reciprocam_bench.titles import title_of

# 1: no definitions of metrics and methods, rows in the order of the data set's folders. 2: DESIGN of today.
FORMAT = 2

CONFIG, ENVIRONMENT = "config.yaml", "environment.json"
PER_IMAGE, SUMMARY, PER_CLASS, TIMING = "per_image.csv", "summary.csv", "per_class.csv", "timing.csv"
PACKED_ROWS = "per_image.csv.gz"  # the rows of a finished run, packed by who keeps it: read, never written
TIMING_ROUNDS = "timing_rounds.csv"
SKIPPED, IMAGES, COMPARISON, AGREEMENT = "skipped.csv", "images.csv", "comparison.csv", "agreement.csv"
REPORT, PLOTS = "report.html", "plots"
FILES = (
    CONFIG,
    ENVIRONMENT,
    PER_IMAGE,
    PACKED_ROWS,
    SUMMARY,
    PER_CLASS,
    TIMING,
    TIMING_ROUNDS,
    SKIPPED,
    IMAGES,
    COMPARISON,
    AGREEMENT,
    REPORT,
)
# Pictures of the first images, and the raw maps of a run with save_maps.
FOLDERS = ("maps", "raw_maps")

# The column with the version of a row's protocol; a run holds one version of each.
VERSION = "protocol_version"
# What tells a row of per_image.csv from every other.
KEY = ("protocol", "image", "category", "method")
FIXED = (
    "protocol",
    VERSION,
    "image",
    "category",
    "difficult",
    "label",
    "predicted",
    "class",
    "probability",
    "method",
    "status",
)
# The columns of summary.csv that are no metric's, and what it puts after a metric's name.
SUMMARY_TEXT = ("backbone", "dataset", "protocol", "method", "classes", "difficult_by", "published_note")
SUMMARY_NUMBERS = (
    *(VERSION, "images", "images_total", "constant", "nan", "errors", "top1", "trials", "trials_difficult"),
)
ENDS = ("_low", "_high", "_published")
ENDINGS = (*ENDS, "_mean", "_difficult")
SKIPPED_COLUMNS = ("protocol", "image", "reason")
IMAGES_COLUMNS = ("image", "bytes", "modified", "sha256", "truth")

# The row of the network alone in timing tables, and its scope.
FORWARD = "forward"
SCOPES = (FORWARD, "end-to-end", "explainer")

# A cell whose metric joined the run after the row was written and has not been measured yet.
PENDING = "pending"
# A status that begins so is of a map that could not be made; such a row has no values.
ERROR = "error"


def _known(aggregation: str) -> str:
    if aggregation not in AGGREGATIONS:
        raise ValueError(f"there is no aggregation '{aggregation}'")
    return aggregation


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricDefinition(_Part):
    """What readers must know of a metric; the columns are those of ``per_image.csv``.

    ``name`` and ``options`` are the metric behind a label; folders that are older than these keys do not say them.
    """

    name: str | None = None
    options: dict[str, Any] = {}
    title: Annotated[str, Field(pattern=r"^[^\n\r|]+$")]
    higher_is_better: bool | None  # None: a metric of another package, in a folder of format 1
    aggregation: Annotated[str, AfterValidator(_known)] = "mean"
    terms: list[str] = []
    columns: Annotated[list[str], Field(min_length=1)]
    localised: bool = False

    @property
    def facts(self) -> dict[str, Any]:
        """What must be the same where values stand in one column."""
        behind = {} if self.name is None else {"metric": title_of(self.name, self.options)}
        return behind | self.model_dump(exclude={"name", "options"})


class MethodDefinition(_Part):
    """The method of a title; ``options`` are those that differ from its defaults."""

    name: str
    options: dict[str, Any] = {}

    @property
    def title(self) -> str:
        """How tables name it where it has no label."""
        return title_of(self.name, self.options)


class ProtocolDefinition(_Part):
    """A protocol as it was when the rows were made; ``classes`` is what it explains unless a config says otherwise.

    ``choices`` are all that changes its numbers; folders that are older than this key do not say them.
    """

    version: int
    classes: str
    choices: dict[str, Any] = {}

    @property
    def facts(self) -> dict[str, Any]:
        """What must be the same where rows are joined, by place; what two definitions do not both say is not known."""
        facts: dict[str, Any] = {"version": self.version, "classes": self.classes}
        for key, choice in self.choices.items():
            if isinstance(choice, dict) and key != "options":  # an option that is not set is a choice too
                facts |= {f"{key}.{name}": value for name, value in choice.items()}
            else:
                facts[key] = choice
        return facts


class Definitions(_Part):
    """All that gives the rows of a run their meaning."""

    protocols: dict[str, ProtocolDefinition] = {}
    methods: dict[str, MethodDefinition] = {}
    timed: dict[str, MethodDefinition] = {}  # what is timed and not judged
    metrics: dict[str, MetricDefinition] = {}

    @model_validator(mode="after")
    def _made_of_each_other(self) -> Self:
        for name, metric in self.metrics.items():
            unknown = [term for term in metric.terms if column_of(term) not in self.metrics]
            if unknown or bool(metric.terms) != (metric.aggregation == "harmonic-mean"):
                raise ValueError(f"'{name}' cannot be the {metric.aggregation} of {metric.terms}")
        return self


class Environment(BaseModel):
    """The part of ``environment.json`` that readers and a later start rely on; the rest is for people.

    ``metrics`` are those the last start asked for; the definitions are of all that the rows hold.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    format: Annotated[int, Field(ge=1)] = 1
    commit: str | None = None
    starts: list[dict[str, Any]] = []
    fingerprint: dict[str, Any] = {}
    definitions: Definitions | None = None
    metrics: list[str] = []
    dataset: str = ""
    num_classes: int | None = None
    images: int | None = None
    images_total: int | None = None
    difficult_by: str = ""
    class_source: dict[str, str] = {}
    class_names: dict[str, str] = {}
    seconds: dict[str, float] = {}
    machine: dict[str, Any] = {}
    against_float32: dict[str, Any] = {}
    finished: str | None = None

    @model_validator(mode="after")
    def _defined(self) -> Self:
        unknown = [name for name in self.metrics if self.definitions is None or name not in self.definitions.metrics]
        if unknown:
            raise ValueError(f"the metric '{unknown[0]}' is not defined")
        return self
