"""Every metric, shipped or in the example of a plug-in, under the one tester."""

import pytest
import torch
from plain import rise_kernel
from tester import check, metric_of
from torch import tensor

import reciprocam_bench as rb
from reciprocam_bench.datasets.dataset import Box
from reciprocam_bench.metrics.registry import METRICS

SHIPPED = sorted(METRICS.all())
PEAK = torch.zeros(1, 40, 48)
PEAK[0, 20, 20] = 1
NEAR, FAR = torch.zeros(1, 40, 48, dtype=torch.bool), torch.zeros(1, 40, 48, dtype=torch.bool)
NEAR[0, 20, 34] = FAR[0, 0, 0] = True
A, B = map(float, rise_kernel()[5:7])
# Two images of four pixels, and a network whose answer is an image's mean.
PLAIN = {
    "images": tensor([[[[1.0, 1.0], [1.0, 1.0]]], [[[0.4, 0.0], [0.0, 0.0]]]]),
    "ask": lambda x, of: x.mean((1, 2, 3)),
}
PLAIN |= {"probability": tensor([1.0, 0.1]), "saliency": tensor([[[0.9, 0.1], [0.5, 0.3]], [[1.0, 0.0], [0.0, 0.0]]])}
# Two rows of two pixels, which the network counts where they are above 0. Behind the first hole stands
# (2 * 10 - 2 * 10 - 10) / 5, behind the last (2 * 10 - 2 * 10 + 10) / 5; noise is far smaller.
HOLES = {
    "images": tensor([[10.0, 10.0], [-10.0, -10.0]]).expand(1, 3, 2, 2),
    "saliency": tensor([[[0.9, 0.8], [0.2, 0.1]]]),
}
HOLES |= {"ask": lambda x, of: (x > 0).float().mean((1, 2, 3))}
MAPS = {"explanation": tensor([[[0.0, 1.0]]]), "masked_explanation": tensor([[[0.0, 0.5]]])}
BLOCK = torch.zeros(3, 224, 224)
BLOCK[:, 56:112, 56:168] = 1
WHOLE, HALF = Box(0.25, 0.25, 0.75, 0.5), Box(0.25, 0.25, 0.5, 0.5)
RAMP = torch.arange(1.0, 17).view(1, 4, 4)
# How many of four pixels are the nearest to 0, 5, ... 100 % of them.
OF_FOUR = [0] * 3 + [1] * 5 + [2] * 5 + [3] * 5 + [4] * 3
BY_HAND = {
    "single_deletion": [
        (
            {
                "images": RAMP.expand(1, 3, 4, 4),
                "probability": tensor([8.5]),
                "saliency": sign * RAMP,
                "ask": PLAIN["ask"],
            },
            [sign],
        )
        for sign in (1, -1)
    ],
    "flip_equivariance": [
        ({"raw": RAMP, "explain": lambda x, of: RAMP.flip(-1)}, [1]),
        ({"raw": RAMP, "explain": lambda x, of: -RAMP.flip(-1)}, [-1]),
    ],
    "random_logit": [({"raw": RAMP, "explain": lambda x, of, classes: 2 * RAMP}, [1])],
    # At 25, 50, 75 and 100 % of the layers.
    "parameter_randomisation": [({"raw": RAMP, "explain": lambda x, of, fresh: RAMP if fresh < 0.7 else -RAMP}, [0])],
    "infidelity": [({"saliency": torch.ones(1, 16, 16), "ask": lambda x, of, logits: x.sum((1, 2, 3))}, [0])],
    "max_sensitivity": [({"raw": RAMP, "explain": lambda x, of: 1.5 * RAMP}, [0.5])],
    "average_drop": [({"probability": tensor([0.8, 0.5]), "masked_probability": tensor([0.2, 0.9])}, [0.75, 0])],
    "average_gain": [({"probability": tensor([0.8, 0.5]), "masked_probability": tensor([0.9, 0.4])}, [0.5, 0])],
    "average_drop_in_deletion": [(PLAIN, [0.45, 1.0])],
    "top_drop": [(PLAIN, [1 - 1.4 / 4, 0])],
    "top_increase": [(PLAIN, [0, 0])],
    "gini": [({"explanation": tensor([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])}, [0.75, 0])],
    "entropy": [({"explanation": tensor([[[0.5, 0.5], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])}, [0.5, 1])],
    # From the blurred image, 1 or 0.4 times the kernel's two middle values, pixel by pixel to the image.
    "insertion_auc": [(PLAIN, [(1 + (A + B) ** 2) / 2, 0.1 * ((A + B) ** 2 / 2 + 3.5 + 3 * A * B + 3 * B * B) / 4])],
    "deletion_auc": [(PLAIN, [0.5, 0.0125])],
    "insertion_curve": [
        (
            PLAIN,
            [
                [((4 - n) * (A + B) ** 2 + n) / 4 for n in OF_FOUR],
                [0.1 * [(A + B) ** 2, 1 + 2 * A * B + B * B, 1 + A * B + B * B, 1 + B * B, 1][n] for n in OF_FOUR],
            ],
        )
    ],
    "deletion_curve": [(PLAIN, [[1 - n / 4 for n in OF_FOUR], [0.1 * (n == 0) for n in OF_FOUR]])],
    # 0 pixels at 10 %, then 1, 1, 2, 2, 2, 3, 3 and 3, the last but one.
    "road_morf": [(HOLES, [(0.5 + 2 * 0.25) / 9])],
    "road_lerf": [(HOLES, [(6 + 2 * 0.75 + 0.5) / 9])],
    "road_combined": [(HOLES, [7 / 18])],
    "arcc": [({**HOLES, **MAPS}, [3 / (1 / 1.0 + 1 / 0.5 + 1 / (3.75 / 4 - 0.25 / 4))])],
    "increase": [({"probability": tensor([0.5, 0.5]), "masked_probability": tensor([0.6, 0.5])}, [1, 0])],
    "complexity": [({"explanation": tensor([[[0.0, 1.0], [0.5, 0.5]]])}, [0.5])],
    "coherency": [({"explanation": tensor([[[0.0, 1.0]]]), "masked_explanation": tensor([[[1.0, 0.0]]])}, [0])],
    "adcc": [
        (
            {
                "probability": tensor([0.8]),
                "masked_probability": tensor([0.2]),
                "explanation": tensor([[[0.0, 1.0]]]),
                "masked_explanation": tensor([[[0.0, 0.5]]]),
            },
            [3 / (1 / 1.0 + 1 / 0.5 + 1 / 0.25)],
        )
    ],
    "pointing_game": [({"located": PEAK, "objects": NEAR}, [1]), ({"located": PEAK, "objects": FAR}, [0])],
    "pointing_game_mask": [({"located": PEAK, "objects": NEAR}, [0]), ({"located": PEAK, "objects": PEAK > 0}, [1])],
    "pointing_game_box": [({"located": PEAK, "box_objects": NEAR}, [0])],
    "energy_pointing_game": [({"located": PEAK, "objects": PEAK > 0}, [1]), ({"located": PEAK, "objects": FAR}, [0])],
    "relevance_rank_accuracy": [({"located": PEAK, "objects": PEAK > 0}, [1])],
    # 112x56 pixels at every cut, the annotated box the same, or its left half: 57 of 113 columns are more than 0.5.
    "max_box_acc": [
        ({"raw": BLOCK, "seen_boxes": [[WHOLE], [HALF], []]}, [[1.0] * 255, [1.0] * 255, [0.0] * 255]),
    ],
    "max_box_acc_v2": [
        ({"raw": BLOCK[:2], "seen_boxes": [[WHOLE], [HALF]]}, [[1.0] * 765, [1.0] * 510 + [0.0] * 255]),
    ],
    "box_accuracy": [({"located": PEAK, "boxes": [[Box(20, 20, 21, 21)]]}, [[1.0] * 19])],
}
# Where values may lie, if not from 0 to 1.
RANGES = {"road_combined": (-0.5, 0.5), "infidelity": (0, 1e-3), "max_sensitivity": (0, 10)}
RANGES |= dict.fromkeys(("single_deletion", "flip_equivariance", "random_logit", "parameter_randomisation"), (-1, 1))


@pytest.fixture
def images() -> torch.Tensor:
    """Four 16x16 images."""
    return 3 * torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_metric(name: str, tiny: rb.Backbone, images: torch.Tensor) -> None:
    values = check(metric_of(name), tiny, images, BY_HAND[name])
    known, (low, high) = values[~values.isnan()], RANGES.get(name, (0, 1))
    assert known.min() >= low and known.max() <= high
    assert METRICS.get(name).function.__doc__


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_shipped_metric_on_a_gpu(name: str, tiny_net: torch.nn.Module, images: torch.Tensor) -> None:
    on_gpu = rb.split_backbone(tiny_net, torch.randn(2, 3, 16, 16), device="cuda")
    on_cpu = rb.split_backbone(tiny_net.cpu(), torch.randn(2, 3, 16, 16), device="cpu")
    values = check(metric_of(name), on_gpu, images.cuda())
    torch.testing.assert_close(
        values.cpu(), check(metric_of(name), on_cpu, images), atol=1e-3, rtol=1e-3, equal_nan=True
    )


@pytest.mark.parametrize("name, options", [("spread", {}), ("masked_share", {}), ("masked_share", {"steps": 7})])
def test_the_metrics_of_the_example(
    name: str, options: dict, tiny: rb.Backbone, images: torch.Tensor, example_plugin: None
) -> None:
    check(metric_of(name, **options), tiny, images)


WRONG = {
    "sees its neighbours": (lambda raw: raw.sum((1, 2)) / raw.sum(), "not close"),
    "gives one value": (lambda raw: raw.mean(), r"values must be \(4,\)"),
    "gives a list": (lambda raw: raw.mean((1, 2)).tolist(), r"values must be \(4,\); they are list"),
    "is infinite": (lambda raw: raw.mean((1, 2)) / 0, "values must be finite"),
    "asks unannounced": (lambda images, ask: ask(images, torch.arange(len(images))), "say another number of images"),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_tester_finds_a_metric_that(what: str, tiny: rb.Backbone, images: torch.Tensor, new_metric) -> None:
    function, told = WRONG[what]
    new_metric("test-wrong", function, higher_is_better=True)
    with pytest.raises((AssertionError, ValueError), match=told):
        check(metric_of("test-wrong"), tiny, images)
