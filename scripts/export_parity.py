"""Export one network of every kind and write how far ONNX Runtime is from PyTorch, to results/export/.

    python scripts/export_parity.py    # RCAM_WEIGHTS_DIR: real weights where it has them, random ones elsewhere
    python scripts/update_readme.py    # puts the table into docs/export.md

Networks that are in the file already are not measured again. Parity is a question of the operators, so random weights
(seed 0) do; the table says which are which. Maps are of logits: a softmax of the large logits that deep random networks
give has no four digits in float32.
"""

import tempfile
from pathlib import Path

import pandas as pd
import torch

import reciprocam_bench as rb
from reciprocam_bench.backbones.weights import local_file

ROOT = Path(__file__).parents[1]
FILE = ROOT / "results/export/parity.csv"
METHOD = "reciprocam"
# The networks of the ready configs, and one or two of every other kind.
MODELS = [
    *(f"torchvision/{name}" for name in ("resnet18", "resnet50", "resnet101", "mobilenet_v2", "squeezenet1_1")),
    *(f"torchvision/{name}" for name in ("mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0")),
    *(f"timm/{name}" for name in ("efficientnet_lite0", "vit_tiny_patch16_224", "deit_tiny_patch16_224")),
    *(f"torchvision/{name}" for name in ("resnext50_32x4d", "densenet121", "convnext_tiny", "vgg16")),
    "torchvision/resnext101_32x8d",
]


# What is exported: each of them by Recipro-CAM, and a transformer by ViT-ReciproCAM.
EXPORTS = [*((model, METHOD) for model in MODELS), ("timm/vit_tiny_patch16_224", "vitreciprocam")]


def measure(model: str, method: str, folder: Path) -> dict[str, object]:
    """Export ``model`` with a method, and what the comparison found."""
    torch.manual_seed(0)
    real = local_file(*model.split("/", 1)) is not None
    backbone = rb.load_backbone(model, weights="default" if real else "none")
    made = rb.export(backbone, folder / "model.onnx", f"{method}[score=logit]")
    return {
        "model": model,
        "method": method,
        "weights": "real" if real else "random",
        "layer": backbone.layer,
        "path": made.metadata.path,
        "logits": made.metadata.difference["logits"],
        "logits_relative": made.relative["logits"],
        "maps": made.metadata.difference["maps"],
        "maps_relative": made.relative["maps"],
        "mebibytes": round(made.path.stat().st_size / 2**20, 1),
    }


def table(rows: pd.DataFrame) -> str:
    """The rows as the page shows them."""
    lines = [
        "| network | weights | layer | method, by | logits differ by | maps differ by | MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows.to_dict("records"):
        cells = [f"`{row['model']}`", row["weights"], f"`{row['layer']}`", f"{row['method']}, {row['path']}"]
        cells += [
            f"{row['logits']:.1e} ({row['logits_relative']:.1e})",
            f"{row['maps']:.1e} ({row['maps_relative']:.1e})",
        ]
        lines.append(f"| {' | '.join([*cells, str(row['mebibytes'])])} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is not in the file yet, one network after another, and write the table."""
    rows = pd.read_csv(FILE).to_dict("records") if FILE.exists() else []
    FILE.parent.mkdir(parents=True, exist_ok=True)
    for model, method in EXPORTS:
        if (model, method) in [(row["model"], row["method"]) for row in rows]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(model, method, Path(folder)))
        print(rows[-1], flush=True)
        rows.sort(key=lambda row: EXPORTS.index((row["model"], row["method"])))
        pd.DataFrame(rows).to_csv(FILE, index=False)
        FILE.with_suffix(".md").write_text(table(pd.read_csv(FILE)) + "\n", "utf-8")


if __name__ == "__main__":
    main()
