"""What is kept of an image that is shown: the map of every method and, for a page, what the network saw."""

from collections.abc import Mapping

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from torchvision.transforms.functional import to_pil_image

from reciprocam_bench.datasets.images import Preparation
from reciprocam_bench.engine.drawn_maps import DrawnMaps
from reciprocam_bench.engine.run import Run
from reciprocam_bench.protocols.protocol import Protocol
from reciprocam_bench.runfolder.raw_maps import MOST_CELLS, PAGE


def keep_shown(
    run: Run, protocol: Protocol, image: str, class_index: int, seen: Tensor, maps: Mapping[str, Tensor | None]
) -> None:
    """Keep the raw maps ``(h, w)``, by the methods' titles, of an image that a run shows.

    Images with a sheet keep their maps whole, and get their picture with it. Of the others, which a page shows, a map
    has at most 16 cells a side; ``seen (C, H, W)``, the network's input, becomes their picture.
    """
    experiment = run.experiment
    there = {title: cam for title, cam in maps.items() if cam is not None}
    if not there:
        return
    if image in experiment.drawn:
        DrawnMaps(run.folder.path, protocol.name).add(image, class_index, there)
    else:
        kept = DrawnMaps(run.folder.path, protocol.name, PAGE)
        kept.add(image, class_index, {title: coarse(cam) for title, cam in there.items()})
        kept.add_picture(image, class_index, as_picture(seen, experiment.preparation(protocol)))


def coarse(cam: Tensor) -> Tensor:
    """A map ``(h, w)`` averaged over the cells of a grid of at most 16 a side."""
    if max(cam.shape) <= MOST_CELLS:
        return cam
    height, width = (min(side, MOST_CELLS) for side in cam.shape)
    return adaptive_avg_pool2d(cam[None].float(), (height, width))[0]


def as_picture(seen: Tensor, preparation: Preparation) -> Image.Image:
    """A network's normalised input ``(C, H, W)`` as the picture that it was made of."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (preparation.mean, preparation.std))
    return to_pil_image((seen.float().cpu() * std + mean).mul_(255).round_().clamp_(0, 255).byte())
