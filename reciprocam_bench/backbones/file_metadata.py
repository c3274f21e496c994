"""What an exported file says of itself: written by ``rcam-bench export``, read where the file is a backbone."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from reciprocam_bench.backbones.backbone import Preprocessing
from reciprocam_bench.errors import UserError

# The key of an ONNX file's metadata, and the name of an extra file of a torch.export archive, that hold it as JSON.
KEY = "rcam_bench"
# Inputs and outputs of exported models.
IMAGES, CLASSES, LOGITS, MAPS, FEATURES = "images", "classes", "logits", "maps", "features"


class FileMetadata(BaseModel):
    """The network of an exported file, and what its maps are.

    Attributes:
        format: of this record.
        version: of rcam-bench.
        model: the backbone's name.
        weights: where they came from.
        layer: whose output is explained.
        method: with its options, as in tables.
        path: ``closed-form`` or ``batched-head``.
        classes: ``predicted``, ``input``, ``all``, or the indices.
        normalise: maps are scaled to [0, 1], each by itself.
        resolution: of the ``features`` or of the ``image``.
        precision: of weights and activations up to the features.
        multi_label: probabilities are sigmoids.
        class_names: a name for each output, where they are known.
        preprocessing: the attributes of `Preprocessing`; ``crop`` is the side of the images.
        difference: largest absolute difference from PyTorch when it was exported, by output; of an int8 file on the
            images it was calibrated on.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    version: str
    model: str
    weights: dict[str, str]
    layer: str
    method: str
    path: str
    classes: str | tuple[int, ...]
    normalise: bool
    resolution: Literal["features", "image"]
    precision: Literal["float32", "int8"] = "float32"
    multi_label: bool
    class_names: tuple[str, ...] | None
    preprocessing: dict[str, Any]
    difference: dict[str, float] = {}

    def wanted(self) -> Preprocessing:
        """How the model wants its images."""
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in self.preprocessing.items()
        }
        return Preprocessing(**given)


def read_metadata(text: str, where: str) -> FileMetadata:
    """Read the JSON; ``UserError`` for one of another format."""
    try:
        return FileMetadata.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{where}: its metadata is not of format 1 ({place}: {first['msg']}); export the model again"
        ) from None
