"""The one schema of a config file; every default of the tool stands here and nowhere else."""

import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from reciprocam_bench.errors import UserError, did_you_mean


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BackboneConfig(_Strict):
    """Which network, which weights, and where it is split."""

    model: str = Field(
        description="library/name: torchvision/resnet50, timm/resnet50.tv_in1k; beside a factory, the name in tables"
    )
    factory: str | None = Field(None, description="package.module:function that makes a network of your own")
    options: dict[str, Any] = Field({}, description="the factory's keyword arguments")
    weights: str = Field("default", description="default | none | a named set | a file")
    layer: str = Field("auto", description="auto, the name of a layer, or image for a model that can only be called")
    head: str | None = Field(None, description="a linear head from rcam-bench fit-head, in place of the network's own")
    num_classes: int | None = Field(None, ge=1, description="outputs of a weights file of your own")
    multi_label: bool = Field(False, description="the outputs do not exclude one another: sigmoid, not softmax")

    @model_validator(mode="before")
    @classmethod
    def _named_after_its_factory(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("factory"), str) and data.get("model") is None:
            return data | {"model": data["factory"]}
        return data

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if self.factory is None and self.options:
            raise ValueError("options are the factory's; set backbone.factory too")
        if self.factory is not None and self.num_classes is not None:
            raise ValueError("num_classes is for models of a library; give it to the factory through backbone.options")
        return self


class DatasetConfig(BaseModel):
    """Which images. Further keys are the options of the data set's loader."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside ``name``, with ``${VARIABLES}`` filled in."""
        return {key: fill_environment(value) for key, value in (self.model_extra or {}).items()}


class NamedConfig(BaseModel):
    """One method; further keys are its options. ``label`` replaces the name in the tables."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str
    label: str | None = Field(None, pattern=r"^[^\n\r|]+$")

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside ``name`` and ``label``."""
        return dict(self.model_extra or {})

    @property
    def title(self) -> str:
        """How the tables name this method: its label, or its name with the options that were set."""
        if self.label:
            return self.label
        options = ",".join(f"{k}={v}" for k, v in self.options.items())
        return f"{self.name}[{options}]" if options else self.name


class TimingConfig(_Strict):
    """How methods are timed."""

    repeats: int = Field(10, ge=1, description="measured rounds; each round runs every method once")
    warmup: int = Field(1, ge=0, description="rounds that are not counted")
    batch_size: int = Field(1, ge=1, description="images a call")
    relative_to: str | None = Field(None, description="the method that speed-ups are given against")
    methods: list[Annotated[NamedConfig, BeforeValidator(lambda v: _named(v))]] | None = Field(
        None, description="the methods to time, if not all"
    )


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class FitHeadConfig(_Strict):
    """How ``rcam-bench fit-head`` fits a linear multi-label head on the data set's categories."""

    split: str | None = Field(None, description="the data set's training split; dataset.split if left out")
    held_out: float = Field(
        0.25, gt=0, lt=1, description="share of the images that measures mAP and stops the training"
    )
    epochs: int = Field(300, ge=1)
    patience: int = Field(20, ge=1, description="epochs without a better held-out mAP before it stops")
    learning_rate: float = Field(0.01, gt=0)
    weight_decay: float = Field(0.01, ge=0)


class Config(_Strict):
    """A runnable experiment."""

    backbone: BackboneConfig
    dataset: DatasetConfig
    protocol: Annotated[list[str], BeforeValidator(_listed)] = Field(["poppi-2021"], min_length=1)
    classes: Literal["predicted", "label", "present"] | int | None = Field(
        None,
        description="the class explained: predicted, label, each category present, or an index; "
        "the protocol's choice if left out",
    )
    preprocess: Literal["protocol", "model"] = Field(
        "protocol", description="who decides resize and crop: the protocol, or the model's own settings"
    )
    methods: list[Annotated[NamedConfig, BeforeValidator(_named)]] = Field(min_length=1)
    metrics: list[Annotated[NamedConfig, BeforeValidator(_named)]] = Field(
        default_factory=lambda: [
            NamedConfig(name=n) for n in ("average_drop", "increase", "coherency", "complexity", "adcc")
        ],
        min_length=1,
    )
    timing: TimingConfig | None = None
    fit_head: FitHeadConfig = Field(default_factory=lambda: FitHeadConfig.model_validate({}))
    limit: int | None = Field(None, ge=1, description="only the first images")
    batch_size: int = Field(8, ge=1, description="images judged together")
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: int | None = Field(None, ge=1, description="CPU threads; torch's choice if left out")
    workers: int = Field(0, ge=0, description="processes that read images; 0 reads in the main one")
    memory_mb: int | None = Field(None, ge=16, description="budget of one chunk of masked copies")
    maps: int = Field(4, ge=0, description="how many images get a picture sheet under maps/")
    save_maps: bool = Field(False, description="keep raw maps")
    seed: int = Field(0, ge=0, lt=2**63)


def fill_environment(value: Any) -> Any:
    """Replace ``${NAME}`` in a string by the environment variable; an unset one is a ``UserError``."""
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        name = match[1]
        if not os.environ.get(name):
            raise UserError(f"{value}: the environment variable {name} is not set; export {name}=/path/to/data")
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", variable, value)


def config_folders() -> list[Path]:
    """Where a bare config name is looked up: here, ``configs/``, a clone's ``configs/``, the installed copy."""
    package = Path(str(files("reciprocam_bench")))
    return [Path(), Path("configs"), package.parent / "configs", package / "configs"]


def find_config(name: str) -> Path:
    """Return the file of a config given by path or bare name, with or without ``.yaml``."""
    for folder in config_folders():
        for path in (folder / name, folder / f"{name}.yaml"):
            if os.path.isfile(path):  # noqa: PTH113 - False for names that no file system takes
                return path
    known = sorted({p.stem for folder in config_folders()[1:] for p in folder.glob("*.yaml")})
    raise UserError(f"config '{name}' not found here or in configs/{did_you_mean(Path(name).stem, known)}")


def load_config(name: str, overrides: tuple[str, ...] = (), **values: Any) -> Config:
    """Read a config: the file over its ``base``, then ``--set key=value`` overrides, then given ``values``."""
    path = find_config(name)
    data = read_yaml(path)
    if "base" in data:
        base = data.pop("base")
        if not isinstance(base, str):
            raise UserError(f"{path}: base: must name a file")
        base_path = path.parent / base
        base_data = read_yaml(base_path if base_path.is_file() else find_config(base))
        if "base" in base_data:
            raise UserError(f"{path}: base: {base} has a base itself; only one level is allowed")
        data = base_data | data
    for override in overrides:
        _override(data, override)
    data |= {key: value for key, value in values.items() if value is not None}
    return parse_config(data, str(path))


def parse_config(data: dict[str, Any], where: str) -> Config:
    """Validate the content of a config; the first mistake becomes a ``UserError`` that names its place."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _keys_at(first["loc"][:-1])
            raise UserError(f"{where}: unknown key '{place}'{did_you_mean(str(first['loc'][-1]), known)}") from None
        if first["type"] == "missing":
            raise UserError(f"{where}: '{place}' is missing; add it to the config") from None
        if first["type"] == "value_error":  # one of our own checks, which says it all
            raise UserError(f"{where}: {place}: {first['ctx']['error']}") from None
        raise UserError(f"{where}: {place}: {first['msg']}, not {first['input']!r}") from None


def dump_config(config: Config) -> str:
    """The resolved config as YAML; ``${VARIABLES}`` stay as they were written."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _keys_at(location: tuple[int | str, ...]) -> set[str]:
    models: dict[tuple[int | str, ...], type[BaseModel]] = {
        (): Config,
        ("backbone",): BackboneConfig,
        ("timing",): TimingConfig,
        ("fit_head",): FitHeadConfig,
    }
    return set(models[location].model_fields) if location in models else set()


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; anything else is a ``UserError``."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:  # 2024-13-45 is a ValueError: no such date
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not readable as YAML: {reason}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: a config is a mapping of keys to values; this file is not one")
    return data


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {override}: write key=value, for example --set backbone.weights=none")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise UserError(f"--set {override}: '{text}' is not a YAML value") from None
    *parents, last = key.split(".")
    for parent in parents:
        if data.get(parent) is None:
            data[parent] = {}
        data = data[parent]
        if not isinstance(data, dict):
            raise UserError(f"--set {override}: '{parent}' is not a mapping")
    data[last] = value
