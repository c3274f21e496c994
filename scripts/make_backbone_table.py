"""Split one small network of every family of torchvision and timm, and write what came of it to docs/architectures.md.

Weights are random (seed 0), so nothing is downloaded. The batch norms get the statistics of random images, and weights
that start at zero do not stay there: else many a random network answers all images alike, and any cut looks right.

Usage: python scripts/make_backbone_table.py [--only PATTERN] [--output FILE] [--jobs N]
"""

import argparse
import gc
import sys
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from multiprocessing import get_context
from pathlib import Path

import timm
import torch
import torchvision
from timm.data import resolve_data_config
from torch import nn

import reciprocam_bench as rb
from reciprocam_bench.engine.allocator import keep_freed_memory

PAGE = Path(__file__).resolve().parents[1] / "docs" / "architectures.md"

TORCHVISION = """
alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5
mobilenet_v2 mobilenet_v3_small mobilenet_v3_large regnet_x_400mf regnet_y_400mf resnet18 resnet50 resnext50_32x4d
shufflenet_v2_x0_5 squeezenet1_0 squeezenet1_1 swin_t swin_v2_t vgg11 vgg16_bn vit_b_32 wide_resnet50_2
"""

TIMM = """
beit_base_patch16_224 botnet26t_256 cait_xxs24_224 coat_lite_tiny coat_tiny coatnet_pico_rw_224 caformer_s18
convformer_s18 convit_tiny convmixer_768_32 convnext_atto convnextv2_atto crossvit_tiny_240 cs3darknet_s cspdarknet53
cspresnet50 darknet53 darknetaa53 davit_tiny deit_tiny_patch16_224 deit_tiny_distilled_patch16_224
deit3_small_patch16_224 densenet121 dla34 dm_nfnet_f0 dpn48b dpn68 eca_nfnet_l0 eca_resnext26ts ecaresnet26t
edgenext_xx_small efficientformer_l1 efficientformerv2_s0 efficientnet_b0 efficientnetv2_rw_t efficientvim_m1
efficientvit_b0 efficientvit_l1 efficientvit_m0 ese_vovnet19b_dw eva02_tiny_patch14_224 fasternet_t0 fastvit_t8
fastvit_sa12 fbnetc_100 fbnetv3_b flexivit_small focalnet_tiny_srf gcresnet33ts gcvit_xxtiny gernet_s ghostnet_050
ghostnetv2_100 ghostnetv3_050 gmixer_12_224 gmlp_ti16_224 halonet26t hardcorenas_a hgnet_tiny hgnetv2_b0 hiera_tiny_224
hrnet_w18_small inception_next_atto inception_resnet_v2 inception_v3 inception_v4 lambda_resnet26t lcnet_035
legacy_senet154 legacy_seresnet18 legacy_xception levit_128s levit_conv_128s mambaout_femto maxvit_rmlp_pico_rw_256
maxxvit_rmlp_nano_rw_256 mixer_s32_224 mixnet_s mnasnet_small mobilenet_edgetpu_v2_xs mobilenetv1_100 mobilenetv2_035
mobilenetv3_small_050 mobilenetv4_conv_small_035 mobilenetv4_hybrid_medium mobileone_s0 mobilevit_xxs mobilevitv2_050
mvitv2_tiny mvitv2_small_cls nasnetalarge nest_tiny nextvit_small nf_regnet_b0 nfnet_l0 pit_ti_224
pit_ti_distilled_224 pnasnet5large poolformer_s12 poolformerv2_s12 pvt_v2_b0 rdnet_tiny regnetx_002 regnety_002
regnetz_005 repghostnet_050 repvgg_a0 repvit_m0_9 res2net50_14w_8s res2next50 resmlp_12_224 resnest14d resnet10t
resnet18 resnet50 resnetv2_50 resnetv2_50x1_bit resnext26ts rexnet_100 samvit_base_patch16_224 sebotnet33ts_256
selecsls42 semnasnet_075 sequencer2d_s seresnet33ts shvit_s1 skresnet18 spnasnet_100 starnet_s050 swiftformer_xs
swin_tiny_patch4_window7_224 swin_s3_tiny_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224 test_convnext test_vit
test_vit2 test_vit3 tf_efficientnet_lite0 tf_efficientnetv2_b0 tf_mixnet_s tiny_vit_5m_224 tinynet_e tnt_s_patch16_224
tresnet_m twins_pcpvt_small twins_svt_small vgg11 visformer_tiny vit_base_patch16_siglip_224
vit_relpos_small_patch16_224
vit_small_patch14_dinov2 vit_small_patch14_reg4_dinov2 vit_small_r26_s32_224 vit_tiny_patch16_224 vitamin_small_224
volo_d1_224 vovnet39a wide_resnet50_2 xception41 xcit_nano_12_p16_224
"""

MODELS = [f"torchvision/{name}" for name in TORCHVISION.split()] + [f"timm/{name}" for name in TIMM.split()]


@dataclass
class Row:
    """What came of one network; ``reason`` says why it was refused, and is empty for one that was split."""

    model: str
    layer: str = ""
    split: str = ""
    map: str = ""
    tokens: int = 0
    linear: bool = False
    error: float = float("nan")
    reason: str = ""

    @property
    def works(self) -> bool:
        """Split, with the logits of the uncut network but for rounding."""
        return not self.reason and self.error < 1e-3


def build(model: str) -> tuple[nn.Module, int]:
    """The network with seeded random weights, and the side of its images."""
    torch.manual_seed(0)
    library, name = model.split("/")
    if library == "timm":
        net = timm.create_model(name)
        side = resolve_data_config({}, model=net)["input_size"][-1]
    else:
        net, side = torchvision.models.get_model(name, weights=None), 299 if name == "inception_v3" else 224
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.02)
    _calibrate(net, side)
    return net, side


def _calibrate(net: nn.Module, side: int) -> None:
    """Give the batch norms the statistics of random images: with others, the signal of a deep network blows up."""
    norms = [m for m in net.eval().modules() if isinstance(getattr(m, "running_mean", None), torch.Tensor)]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        net(torch.randn(4, 3, side, side))
    net.eval()


def row_of(model: str) -> Row:
    """Split one network and compare it with itself uncut, on images and a batch size it was not split with."""
    gc.collect()  # the network before this one
    generator = torch.Generator().manual_seed(0)
    try:
        net, side = build(model)
        backbone = rb.split_backbone(net, torch.randn(2, 3, side, side, generator=generator))
        images = torch.randn(3, 3, side, side, generator=generator)
        with torch.no_grad():
            expected = net(images)
            error = float((backbone(images) - expected).abs().max() / expected.abs().max())
    except rb.UserError as refused:
        return Row(model, reason=str(refused).removeprefix("custom: "))
    except Exception as failed:  # one broken network is a row too
        return Row(model, reason=f"{type(failed).__name__}: {' '.join(str(failed).split())[:200]}")
    shape = "x".join(map(str, backbone.feature_shape))
    return Row(model, backbone.layer, backbone.split, shape, backbone.prefix_tokens, backbone.linear is not None, error)


def set_up() -> None:
    """One thread a process: on small networks a second one costs more than it gains."""
    torch.set_num_threads(1)
    keep_freed_memory()
    warnings.filterwarnings("ignore")


def rows_of(models: list[str], jobs: int) -> Iterator[Row]:
    """A row per network, in their order; each process holds one network at a time, and one job needs no other."""
    if jobs == 1:
        set_up()
        yield from _told(map(row_of, models), len(models))
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=set_up) as pool:
            yield from _told(pool.map(row_of, models), len(models))


def _told(rows: Iterable[Row], count: int) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        print(f"{number}/{count} {row.model}: {row.reason or row.layer}", file=sys.stderr, flush=True)
        yield row


def page(rows: list[Row]) -> str:
    """The page in Markdown."""
    right = [row for row in rows if row.works]
    lines = [
        "# Architectures",
        "",
        "Made by `scripts/make_backbone_table.py`: the smallest network of every family with random weights, split at",
        "`layer: auto` and compared with itself uncut on other images in another number.",
        "",
        f"{len(right)} of {len(rows)} networks are split, and give the same logits.",
        "",
        "*Difference* is the largest one of `head(features(x))` and the network, divided by the largest logit.",
        "*Tokens* is how many class, distillation or register tokens cross the cut beside the map.",
        "",
        "| model | layer | split | map | tokens | pooled linear head | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if not row.reason:
            # Powers of ten: the digits are the machine's, not the network's.
            difference = next((f"< 1e-{power}" for power in (5, 4, 3) if row.error < 10**-power), "wrong")
            linear = "yes" if row.linear else "no"
            cells = [row.model, f"`{row.layer}`", row.split, row.map, str(row.tokens or ""), linear, difference]
            lines.append(f"| {' | '.join(cells)} |")
    refused = [row for row in rows if row.reason]
    if refused:
        lines += ["", "## Refused", "", "| model | message |", "|---|---|"]
        lines += [f"| {row.model} | {row.reason.replace('|', '/')} |" for row in refused]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page; with ``--only`` for those models alone, to be looked at."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PATTERN", help="only models like this, as in timm/resnet*")
    parser.add_argument("--output", metavar="FILE", help="where to write; - for the screen", default=str(PAGE))
    parser.add_argument("--jobs", type=int, default=2, help="networks at once, each in a process of its own")
    options = parser.parse_args()
    models = [m for m in MODELS if options.only is None or fnmatch(m, options.only)]
    if not models:
        parser.error(f"no model of the list is like {options.only}")
    text = page(list(rows_of(models, min(options.jobs, len(models)))))
    if options.output == "-" or (options.only and options.output == str(PAGE)):
        print(text, end="")  # a part of the table must not replace the whole one
    else:
        Path(options.output).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
