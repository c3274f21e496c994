"""Fit one linear layer to multi-label data."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from reciprocam_bench.config import FitHeadConfig
from reciprocam_bench.engine.progress import Progress
from reciprocam_bench.errors import UserError


@dataclass(frozen=True)
class Fitted:
    """A linear layer ``(K, C)``, ``(K,)``, and how well it ranks the held-out images.

    ``average_precision`` has NaN for categories without a held-out positive; ``mean_ap`` and ``prior`` (the mAP of a
    ranking at random: the share of positives) are means over the others, 0 to 1.
    """

    weight: Tensor
    bias: Tensor
    average_precision: list[float]
    mean_ap: float
    prior: float
    epochs: int


def fit_linear(features: Tensor, labels: Tensor, settings: FitHeadConfig, seed: int, quiet: bool = False) -> Fitted:
    """Fit by AdamW on the logistic loss of all categories, and keep the epoch of the best held-out mAP.

    Args:
        features: ``(N, C)``.
        labels: ``(N, K)`` of 1, 0, or NaN (not used).
        settings: rates and stops.
        seed: divides the images and orders them.
        quiet: no progress.

    Raises:
        UserError: if no category has a positive in both parts.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(features), generator=generator)
    held = max(1, round(len(features) * settings.held_out))
    test, train = order[:held], order[held:]
    if len(train) < 2:
        raise UserError(f"fit-head: {len(features)} images leave none to fit; lower fit_head.held_out")
    # Fitted on standardised features, where one rate suits all channels; undone in the layer that is returned.
    mean, scale = features[train].mean(0), features[train].std(0).clamp(min=1e-6)
    x = (features - mean) / scale
    layer = nn.Linear(features.shape[1], labels.shape[1])
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    best = Fitted(layer.weight, layer.bias, [], -math.inf, 0.0, 0)
    with Progress(settings.epochs, "epochs", "fitting", quiet=quiet) as progress:
        for epoch in range(1, settings.epochs + 1):
            _train_epoch(layer, optimiser, x, labels, train[torch.randperm(len(train), generator=generator)])
            with torch.no_grad():
                scores = layer(x[test])
            if not scores.isfinite().all():
                raise UserError("fit-head: the fit ran off to infinity; lower fit_head.learning_rate or weight_decay")
            ap = average_precision(scores, labels[test])
            if not np.isfinite(ap).any():
                raise UserError("fit-head: no category has a positive among the held-out images; use more images")
            if np.nanmean(ap) > best.mean_ap:
                weight = layer.weight.detach() / scale
                bias = layer.bias.detach() - weight @ mean
                known = np.isfinite(ap)
                prior = float(np.nanmean(labels[test].numpy()[:, known], axis=0).mean())
                best = Fitted(weight, bias, ap.tolist(), float(np.nanmean(ap)), prior, epoch)
            progress.advance(1)
            if epoch - best.epochs >= settings.patience:
                break
    return best


def average_precision(scores: Tensor, labels: Tensor) -> np.ndarray:
    """Average precision of each category, ``(N, K), (N, K) -> (K,)``; NaN where there is no positive or no negative."""
    found = np.full(labels.shape[1], np.nan)
    for k in range(labels.shape[1]):
        used = ~labels[:, k].isnan()
        truth = labels[used, k].numpy()
        if 0 < truth.sum() < len(truth):
            found[k] = average_precision_score(truth, scores[used, k].numpy())
    return found


def _train_epoch(layer: nn.Linear, optimiser: torch.optim.Optimizer, x: Tensor, labels: Tensor, order: Tensor) -> None:
    for rows in order.split(64):
        truth = labels[rows]
        used = ~truth.isnan()
        loss = F.binary_cross_entropy_with_logits(layer(x[rows])[used], truth[used])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
