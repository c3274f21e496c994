"""The one schema of a config file, with the defaults of its keys.

The options of a method, a metric or a data set are keyword arguments of its function and have their defaults there.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from reciprocam_bench.config_backbone import BackboneConfig, Strict
from reciprocam_bench.config_protocol import ListOfProtocols
from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.titles import parse_title, title_of
from reciprocam_bench.variables import fill_environment

# Bounds on numbers that would only exhaust memory, or hang: far beyond what any experiment asks for.
MOST_IMAGES, MOST_AT_ONCE, MOST_ROUNDS, MOST_WORKERS = 10**9, 4096, 10**6, 256
_METRICS = ("average_drop", "increase", "coherency", "complexity", "adcc")


class SubsetConfig(Strict):
    """Which images of a data set alone; one of the three."""

    file: str | None = Field(None, description="a list: an image's id or file name on each line, # for comments")
    random: int | None = Field(None, ge=1, le=MOST_IMAGES, description="so many, drawn with the config's seed")
    per_class: int | None = Field(
        None, ge=1, le=MOST_IMAGES, description="so many of each class, drawn with the config's seed"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [key for key, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(f"set one of file, random and per_class, not {' and '.join(given) or 'none'}")
        return self


class DatasetConfig(BaseModel):
    """Which images. Further keys are the options of the data set's loader."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str
    subset: SubsetConfig | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The loader's keys, with ``${VARIABLES}`` filled in."""
        return {key: fill_environment(value) for key, value in (self.model_extra or {}).items()}


class NamedConfig(BaseModel):
    """One method or metric; further keys are its options. ``label`` replaces the name in the tables."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str
    label: str | None = Field(None, pattern=r"^[^\n\r|]+$")

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside ``name`` and ``label``."""
        return dict(self.model_extra or {})

    @property
    def title(self) -> str:
        """How the tables name it: its label, or its name with the options that were set."""
        return self.label or title_of(self.name, self.options)


def _named(value: Any) -> Any:
    try:
        return parse_title(value) if isinstance(value, str) else value
    except UserError as error:
        raise ValueError(str(error)) from None  # parse_config says where


def as_tables_name_it(title: Any) -> Any:
    """A title in the form that tables give it; what is no title stays as it is."""
    try:
        return NamedConfig.model_validate(parse_title(title)).title if isinstance(title, str) else title
    except (UserError, ValidationError):
        return title  # a label


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


# Methods or metrics; a single name is a list of one.
ListOfNamed = Annotated[list[Annotated[NamedConfig, BeforeValidator(_named)]], BeforeValidator(_listed)]


def _is_count(value: Any, most: int, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number_or_auto(what: str, most: int, least: int = 1) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value == "auto" or _is_count(value, most, least):
            return value
        raise ValueError(f"give a number of {what} from {least} to {most:,}, or auto, not {_short(value)}")

    return BeforeValidator(check)


def _sizes(value: Any) -> Any:
    sizes = value if isinstance(value, list) else [value]
    if sizes and all(_is_count(size, MOST_AT_ONCE) for size in sizes):
        return value
    raise ValueError(f"give a number of images from 1 to {MOST_AT_ONCE:,}, or a list of such, not {_short(value)}")


class TimingConfig(Strict):
    """How methods are timed."""

    repeats: Annotated[int | Literal["auto"], _number_or_auto("rounds", MOST_ROUNDS)] = Field(
        10, description="measured rounds; each runs every method once. auto: until every speed-up is known to 5 %"
    )
    warmup: int = Field(1, ge=0, le=MOST_ROUNDS, description="rounds that are not counted")
    batch_size: Annotated[int | list[int], BeforeValidator(_sizes)] = Field(
        1, description="images a call; several sizes as a list"
    )
    processes: int = Field(1, ge=1, le=64, description="processes that take turns with blocks of rounds")
    budget_s: float = Field(600.0, gt=0, le=1e6, description="seconds after which repeats: auto stops")
    relative_to: Annotated[str | None, BeforeValidator(as_tables_name_it)] = Field(
        None, description="the method that speed-ups are given against, as tables name it"
    )
    methods: ListOfNamed | None = Field(None, min_length=1, description="the methods to time, if not all")

    @property
    def batch_sizes(self) -> list[int]:
        """Each size once, in the config's order."""
        return list(dict.fromkeys([self.batch_size] if isinstance(self.batch_size, int) else self.batch_size))


class FitHeadConfig(Strict):
    """How ``rcam-bench fit-head`` fits a linear multi-label head on the data set's categories."""

    split: str | None = Field(None, description="the data set's training split; dataset.split if left out")
    held_out: float = Field(
        0.25, gt=0, lt=1, description="share of the images that measures mAP and stops the training"
    )
    epochs: int = Field(300, ge=1, le=MOST_ROUNDS)
    patience: int = Field(20, ge=1, le=MOST_ROUNDS, description="epochs without a better held-out mAP before it stops")
    learning_rate: float = Field(0.01, gt=0)
    weight_decay: float = Field(0.01, ge=0)


class PicturesConfig(Strict):
    """How sheets and figures are drawn."""

    formats: Annotated[list[Literal["png", "pdf", "svg"]], BeforeValidator(_listed)] = Field(
        ["png"], min_length=1, description="one or several of png, pdf, svg"
    )
    dpi: int = Field(150, ge=30, le=1200, description="pixels an inch")
    colormap: str = Field("jet", description="a colour map of matplotlib's; viridis and cividis are perceptually even")
    alpha: float = Field(0.55, ge=0, le=1, description="opacity of the heat")
    metrics: list[str] | None = Field(
        None, description="columns of metrics that stand under a map; adcc, or the first, if left out"
    )


def _which_images(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(image, str | int) for image in value):
        return [str(image) for image in value]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_IMAGES:
        return value
    raise ValueError(f"give a number of images or a list of image ids, not {_short(value)}")


class Config(Strict):
    """A runnable experiment."""

    backbone: BackboneConfig
    dataset: DatasetConfig
    protocol: ListOfProtocols = Field(
        ["poppi-2021"], min_length=1, description="names of installed ones, and files (or the content) of one's own"
    )
    classes: Literal["predicted", "label", "present"] | int | None = Field(
        None,
        description="the class explained: predicted, label, each category present, or an index; "
        "the protocol's choice if left out",
    )
    preprocess: Literal["protocol", "model"] = Field(
        "protocol", description="who decides resize and crop: the protocol, or the model's own settings"
    )
    methods: ListOfNamed = Field(min_length=1)
    metrics: ListOfNamed = Field([NamedConfig.model_validate({"name": n}) for n in _METRICS], min_length=1)
    timing: TimingConfig | None = None
    fit_head: FitHeadConfig = Field(default_factory=lambda: FitHeadConfig.model_validate({}))
    limit: int | None = Field(
        None, ge=1, le=MOST_IMAGES, description="only the first images of the order that seed gives"
    )
    batch_size: Annotated[int | Literal["auto"], _number_or_auto("images", MOST_AT_ONCE)] = Field(
        8, description="images judged together; auto: as the memory allows, chosen once a run folder"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    # Each is a thread at once: torch hangs on tens of thousands of them.
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads; torch's choice if left out")
    workers: Annotated[int | Literal["auto"], _number_or_auto("processes", MOST_WORKERS, 0)] = Field(
        0, description="processes that read images; 0 reads in the main one; auto: as many as cores are idle, at most 8"
    )
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = Field(
        "float32", description="of the network's products; maps and metrics are float32 in any case"
    )
    compile: bool = Field(False, description="compile the network by torch.compile")
    memory_mb: int | None = Field(None, ge=16, le=10**7, description="budget of one chunk of masked copies")
    maps: Annotated[int | list[str], BeforeValidator(_which_images)] = Field(
        4, description="how many images get a picture sheet under maps/, or the ids of those that do"
    )
    pictures: PicturesConfig = Field(default_factory=lambda: PicturesConfig.model_validate({}))
    save_maps: bool = Field(
        False, description="keep raw maps under raw_maps/, so that new metrics or protocols need not explain again"
    )
    deterministic: bool = Field(False, description="torch's own switch: algorithms that give the same bits each time")
    seed: int = Field(0, ge=0, lt=2**63)

    @model_validator(mode="before")
    @classmethod
    def _of_the_networks_size(cls, data: Any) -> Any:
        backbone = data.get("backbone") if isinstance(data, dict) else None
        if isinstance(backbone, dict) and backbone.get("size") and data.get("preprocess") is None:
            return data | {"preprocess": "model"}
        return data

    @property
    def named_protocols(self) -> list[str]:
        """The names of its protocols, as rows have them."""
        return [p if isinstance(p, str) else p.name for p in self.protocol]


# Keys that change what a row says. The others add or leave out rows, or change nothing that is in one; device and
# threads are compared as they came out.
OF_VALUES: tuple[str, ...] = ("backbone", "dataset", "classes", "preprocess", "batch_size", "memory_mb", "seed")
OF_VALUES += ("precision", "compile")


def parse_config(data: dict[str, Any], where: str) -> Config:
    """Validate the content of a config; the first mistake becomes a ``UserError`` that names its place."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        # A key that is misspelt is missing too, under its right name.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        place = ".".join(str(part)[:80] for part in _place(first["loc"], data))
        if first["type"] == "extra_forbidden":
            known = _keys_at(first["loc"][:-1])
            raise UserError(f"{where}: unknown key '{place}'{did_you_mean(str(first['loc'][-1]), known)}") from None
        if first["type"] == "missing":
            raise UserError(f"{where}: '{place}' is missing; add it to the config") from None
        if first["type"] == "value_error":  # one of our own checks, which says it all
            raise UserError(f"{where}: {place}: {first['ctx']['error']}") from None
        raise UserError(f"{where}: {place}: {first['msg']}, not {_short(first['input'])}") from None


def _short(value: Any, most: int = 80) -> str:
    """A value as it is written, cut at ``most`` characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # of a number with thousands of digits
        text = f"a {type(value).__name__} that is too large"
    return text if len(text) <= most else f"{text[:most]}…"


def _place(location: tuple[int | str, ...], data: Any) -> Iterator[int | str]:
    """The keys of a mistake's location, without the types that pydantic tried there."""
    for part in location:
        if isinstance(data, dict):
            yield part
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int):
            yield part
            data = data[part]


def dump_config(config: Config) -> str:
    """The resolved config as YAML; ``${VARIABLES}`` stay as they were written."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _keys_at(location: tuple[int | str, ...]) -> set[str]:
    models: dict[tuple[int | str, ...], type[BaseModel]] = {
        (): Config,
        ("backbone",): BackboneConfig,
        ("dataset", "subset"): SubsetConfig,
        ("timing",): TimingConfig,
        ("fit_head",): FitHeadConfig,
        ("pictures",): PicturesConfig,
    }
    return set(models[location].model_fields) if location in models else set()
