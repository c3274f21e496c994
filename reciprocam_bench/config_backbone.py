"""The part of the config's schema that names a network, and what is known of one's own."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from reciprocam_bench.truth import refuse_truth


class Strict(BaseModel):
    """A part of a config: keys that it does not know are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers(cls, value: Any, info: ValidationInfo) -> Any:
        refuse_truth(cls.model_fields[str(info.field_name)].annotation, value)
        return value


def _one_or_three(values: list[float]) -> list[float]:
    if len(values) not in (1, 3):
        raise ValueError(f"give 1 value (grey) or 3 (RGB), not {len(values)}")
    return values


Statistics = Annotated[list[float], AfterValidator(_one_or_three)]
Deviations = Annotated[list[Annotated[float, Field(gt=0)]], AfterValidator(_one_or_three)]


class BackboneConfig(Strict):
    """Which network, which weights, and where it is split."""

    model: str = Field(
        description="library/name: torchvision/resnet50, timm/resnet50.tv_in1k; onnx:PATH; the name beside a factory"
    )
    factory: str | None = Field(None, description="package.module:function that makes a network of your own")
    options: dict[str, Any] = Field({}, description="the factory's keyword arguments")
    weights: str = Field("default", description="default | none | a named set | a file")
    layer: str = Field("auto", description="auto, the name of a layer, or image for a model that can only be called")
    head: str | None = Field(None, description="a linear head from rcam-bench fit-head, in place of the network's own")
    num_classes: int | None = Field(None, ge=1, le=1_000_000, description="outputs of a weights file of your own")
    multi_label: bool = Field(False, description="the outputs do not exclude one another: sigmoid, not softmax")
    class_names: list[str] | str | None = Field(None, description="a name for each output, or a file with one a line")
    channels: Literal[1, 3] | None = Field(
        None, description="of the images the network takes (factory, onnx): grey or RGB"
    )
    mean: Statistics | None = Field(None, description="of each channel of those images, of values from 0 to 1")
    std: Deviations | None = Field(None, description="as mean")
    size: int | None = Field(
        None, ge=1, le=8192, description="their side in pixels; preprocess is then model if left out"
    )

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
        if self.is_onnx and self.num_classes is not None:
            raise ValueError("num_classes is for models of a library; an ONNX file has its outputs, leave it out")
        given = [key for key in ("channels", "mean", "std", "size") if getattr(self, key) is not None]
        if self.factory is None and given and not self.is_onnx:
            raise ValueError(f"{given[0]} is for a network of your own; set backbone.factory too")
        if len({len(values or ()) for values in (self.mean, self.std)}) > 1:
            raise ValueError("mean and std go together, a value for each channel")
        if self.channels and self.mean and len(self.mean) != self.channels:
            raise ValueError(f"{self.channels} channels need as many values of mean and std, not {len(self.mean)}")
        return self

    @property
    def is_onnx(self) -> bool:
        """Whether it is an ONNX file."""
        return self.factory is None and self.model.startswith("onnx:")

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What is said of the images a network of one's own wants; all else is the network's own, or the default."""
        sides = {"resize": self.size, "crop": self.size} if self.size else {}
        if self.mean and self.std:
            return {"mean": tuple(self.mean), "std": tuple(self.std), **sides}
        # The default statistics are those of RGB.
        return {"mean": (0.0,), "std": (1.0,), **sides} if self.channels == 1 else sides
