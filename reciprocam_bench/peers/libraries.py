"""Which classes of which library can be run as methods, found by looking into what is installed."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from reciprocam_bench.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Library:
    """A library whose classes explain images.

    Attributes:
        prefix: what stands before the colon in a method's name.
        module: where its public classes are.
        distribution: its name in a package index.
        explains: whether a class of the module is meant to explain an image.
        refused: classes that are, and why they cannot be run as methods.
        class_blind: classes whose maps are the same for every class of an image.
        random: classes whose maps depend on numbers drawn anew for each batch.
        fuses_layers: classes that need several layers.
    """

    prefix: str
    module: str
    distribution: str
    explains: Callable[[type], bool]
    refused: dict[str, str]
    class_blind: frozenset[str] = frozenset()
    random: frozenset[str] = frozenset()
    fuses_layers: frozenset[str] = frozenset()

    @property
    def version(self) -> str:
        """Name and version for tables, such as ``torchcam 0.5.0``."""
        return f"{self.distribution} {version(self.distribution)}"

    def classes(self) -> dict[str, type]:
        """The classes that can be run, by name; ``UserError`` where the library is not installed."""
        return {name: cls for name, cls in self._public().items() if name not in self.refused}

    def find(self, name: str) -> type:
        """The class of a name; ``UserError`` for one that is unknown or cannot be run."""
        public = self._public()
        if name in public and name in self.refused:
            raise UserError(f"method '{self.prefix}:{name}' cannot be run: {self.refused[name]}")
        known = self.classes()
        if name not in known:
            raise UserError(
                f"{self.version} has no method '{name}'{did_you_mean(name, known)} "
                f"(rcam-bench ls methods '{self.prefix}:*')"
            )
        return known[name]

    def _public(self) -> dict[str, type]:
        try:
            module = importlib.import_module(self.module)
        except ImportError as error:
            top = self.module.partition(".")[0]
            if (error.name or top).partition(".")[0] != top:
                raise UserError(f"{self.distribution} cannot be imported: {error}; install it anew") from None
            raise UserError(
                f"methods '{self.prefix}:...' need {self.distribution}, which is not installed; "
                f"pip install {self.distribution}"
            ) from None
        found = inspect.getmembers(module, inspect.isclass)
        return {name: cls for name, cls in found if not name.startswith("_") and self.explains(cls)}


def _torchcam_explains(cls: Any) -> bool:
    return hasattr(cls, "compute_cams")


def _gradcam_explains(cls: Any) -> bool:
    calls = [f for f in (vars(cls).get("forward"), cls.__call__) if inspect.isfunction(f)]
    takes_images = any({"input_tensor", "input_img"} & set(inspect.signature(f).parameters) for f in calls)
    return takes_images or cls.__name__ == "DeepFeatureFactorization"


def _captum_explains(cls: Any) -> bool:
    # By name, so that captum need not be imported to read this module.
    return any(base.__name__ == "Attribution" for base in cls.__mro__) and hasattr(cls, "attribute")


_ONE_NEURON = "it explains one neuron, not a class"
_TEXT = "it explains language models"
_SWAPS = "it swaps features between the images of a batch, so that no image has a map alone"

LIBRARIES = {
    library.prefix: library
    for library in (
        Library(
            "torchcam",
            "torchcam.methods",
            "torchcam",
            _torchcam_explains,
            {"LeGrad": "it reads the attention blocks of a torchvision VisionTransformer, not a feature map"},
            random=frozenset({"SmoothGradCAMpp", "SSCAM"}),
            fuses_layers=frozenset({"RefineCAM"}),
        ),
        Library(
            "gradcam",
            "pytorch_grad_cam",
            "grad-cam",
            _gradcam_explains,
            {
                "DeepFeatureFactorization": "it finds concepts, not the map of a class",
                "GuidedBackpropReLUModel": "it takes one image a call; captum:GuidedBackprop is the same method",
            },
            class_blind=frozenset({"EigenCAM", "FEM", "KPCA_CAM"}),
            random=frozenset({"RandomCAM"}),
            fuses_layers=frozenset({"RefineCAM"}),
        ),
        Library(
            "captum",
            "captum.attr",
            "captum",
            _captum_explains,
            {
                "DataLoaderAttribution": "it explains a whole data set at once",
                "LimeBase": "it is built from functions, which a config cannot give; take captum:Lime",
                "LLMAttribution": _TEXT,
                "LLMGradientAttribution": _TEXT,
                "RemoteLLMAttribution": _TEXT,
                "FeaturePermutation": _SWAPS,
                "LayerFeaturePermutation": _SWAPS,
                "LayerLRP": "its layer must be a single module, and a backbone's features are many; take captum:LRP",
                **dict.fromkeys(
                    [
                        "NeuronConductance",
                        "NeuronDeconvolution",
                        "NeuronDeepLift",
                        "NeuronDeepLiftShap",
                        "NeuronFeatureAblation",
                        "NeuronGradient",
                        "NeuronGradientShap",
                        "NeuronGuidedBackprop",
                        "NeuronIntegratedGradients",
                    ],
                    _ONE_NEURON,
                ),
            },
            class_blind=frozenset({"LayerActivation"}),
            random=frozenset(
                {
                    "GradientShap",
                    "KernelShap",
                    "LayerGradientShap",
                    "Lime",
                    "NoiseTunnel",
                    "ShapleyValueSampling",
                }
            ),
        ),
    )
}
