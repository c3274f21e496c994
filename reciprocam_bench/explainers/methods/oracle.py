"""The truth itself: a control that no explanation can beat where the object is the evidence."""

from torch import Tensor

from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import explainer


@explainer("oracle", forwards=lambda backbone, options: 0.1, control=True, objects=True)
def oracle(fp: ForwardPass) -> Tensor:
    """The annotated objects of the class explained, as the network sees them: 1 on them, 0 elsewhere, ``(N, H, W)``.

    A pixel that they cover in part has that share. The upper bound of metrics of localisation; on ``synthetic`` data,
    where nothing else tells the class, of every metric that deserves trust. Cost: nothing beside the shared forward.

    Raises:
        ValueError: where nothing is annotated for the class.
    """
    if fp.objects is None:
        raise ValueError("it needs annotated objects; only a run on a data set has them, of its own images")
    if fp.objects.isnan().any():
        raise ValueError("nothing is annotated for the class explained")
    return fp.objects
