"""FullGrad: what the image and the biases of convolutions and batch norms contribute to the logit."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.backbones.hooks import own_forward_hook
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.chunks import in_chunks
from reciprocam_bench.explainers.forward_pass import ForwardPass, differentiable, usable
from reciprocam_bench.explainers.registry import explainer
from reciprocam_bench.explainers.scale import min_max


def biases(backbone: Backbone) -> dict[nn.Module, Tensor]:
    """Convolutions and batch norms with a bias, and what each adds to a channel of its output, ``(C,)``.

    A batch norm adds ``beta - mean gamma / sqrt(var + eps)``; one that was folded is the bias of its convolution.
    """
    found: dict[nn.Module, Tensor] = {}
    for module in [*backbone.features.modules(), *backbone.head.modules()]:
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            found[module] = module.bias
        elif isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            scale = (module.running_var + module.eps).rsqrt()
            scale = scale if module.weight is None else scale * module.weight
            shift = torch.zeros_like(scale) if module.bias is None else module.bias
            found[module] = shift - module.running_mean * scale
    return found


def full_gradients(fp: ForwardPass) -> list[Tensor]:
    """``x * d score/dx`` and ``b * d score/d(output)`` of every layer of `biases`, each ``(N, C, h, w)``.

    In a network of ReLUs their sum and that of the linear layers' biases is the score (the paper's proposition 1).
    """
    fp, added = fp.uncompiled, biases(fp.backbone)  # compiled code calls no hooks
    with differentiable(fp.images) as images, _outputs(added) as seen:
        score = fp.score(fp.backbone(images), usable(fp.classes)).sum()
        # A network split by replacing also runs its first part on a black image, and its last part unheard.
        outputs = [(module, output) for module, output in seen if output.requires_grad]
        gradients = torch.autograd.grad(score, [images, *(output for _, output in outputs)], allow_unused=True)
    parts = [gradients[0] * images.detach()]
    for (module, _), gradient in zip(outputs, gradients[1:], strict=True):
        if gradient is not None:
            parts.append(gradient * added[module][:, None, None])
    return parts


@contextmanager
def _outputs(modules: dict[nn.Module, Tensor]) -> Iterator[list[tuple[nn.Module, Tensor]]]:
    """Every output of the modules, in the order they run, as the rest of the network sees it."""
    seen: list[tuple[nn.Module, Tensor]] = []

    def keeping(module: nn.Module) -> Callable[[nn.Module, Any, Any], Any]:
        def keep(called: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            seen.append((module, output))
            return output.clone()  # the next layer may work in place

        return keep

    with ExitStack() as hooks:
        for module in modules:
            # timm's batch norms carry their activation; what they add is seen in front of it.
            inner = getattr(module, "drop", None)
            handle = own_forward_hook(inner if isinstance(inner, nn.Module) else module, keeping(module))
            hooks.callback(handle.remove)
        yield seen


def _check(backbone: Backbone, options: dict[str, Any]) -> None:
    read = len(biases(backbone))
    modules = {*backbone.features.modules(), *backbone.head.modules()}
    others = sum(isinstance(getattr(m, "bias", None), Tensor) for m in modules - biases(backbone).keys())
    if not read or read < others:
        raise UserError(
            f"it reads the biases of convolutions and batch norms; of {read + others} layers with a bias in "
            f"{backbone.name} only {read} are such, so most of the logit would be missing; leave the method out"
        )


# A backward pass through the whole network costs about two forwards.
@explainer("fullgrad", forwards=lambda backbone, options: 4.0, check=_check, gradients=True, own_question=True)
def fullgrad(fp: ForwardPass, *, rescale: Literal["channel", "layer"] = "channel") -> Tensor:
    """``psi(x * dy/dx) + sum_l sum_k psi(b_lk dy/dA_lk)``, ``(N, H, W)`` (Srinivas & Fleuret 2019, arXiv 1905.00780).

    ``psi`` is absolute value, min-max and bilinear upsampling; ``l`` runs over convolutions and batch norms with a bias
    (not over other norms and linear layers), so neither the layer of the backbone nor its resolution matters. Cost: a
    forward and a backward pass of the whole network. Needs gradients.

    Args:
        fp: the forward pass.
        rescale: min-max over each ``channel`` (the paper's formula, pytorch-grad-cam) or over all of a ``layer`` (the
            authors' code).
    """
    # Every layer's output, gradient and product are held at once, not the largest alone.
    each = 16 * fp.backbone.bytes_per_image

    def saliency(rows: Tensor) -> Tensor:
        return _saliency(fp.select(rows, fp.classes[rows]), rescale)

    parts = in_chunks(fp.backbone, len(fp), saliency, bytes_each=each, progress=fp.progress, pad=False)
    return torch.cat(list(parts))


def _saliency(fp: ForwardPass, rescale: str) -> Tensor:
    total = torch.zeros_like(fp.images[:, 0])
    over = (2, 3) if rescale == "channel" else (1, 2, 3)
    for part in full_gradients(fp):
        unit = min_max(part.abs(), over)
        # Upsampling is linear: the channels can be added up before it.
        total += F.interpolate(unit.sum(1, keepdim=True), size=total.shape[1:], mode="bilinear")[:, 0]
    return total
