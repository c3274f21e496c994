"""``rcam-bench export``."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from reciprocam_bench.cli import options
from reciprocam_bench.variables import expanded


def command(
    model: options.Model = None,
    factory: options.Factory = None,
    config: options.NetworkOf = None,
    method: Annotated[
        str,
        typer.Option("--method", help="reciprocam, vitreciprocam or cam, with options: 'reciprocam[mask=gaussian]'."),
    ] = "reciprocam",
    weights: options.Weights = None,
    layer: options.Layer = None,
    classes: Annotated[
        str, typer.Option("--classes", help="Whose maps: predicted, input, all, or indices such as 3,7.")
    ] = "predicted",
    normalise: Annotated[bool, typer.Option("--normalise", help="Scale each map to [0, 1].")] = False,
    resolution: Annotated[
        Literal["features", "image"], typer.Option("--resolution", help="Size of the maps.")
    ] = "features",
    features: Annotated[bool, typer.Option("--features", help="The feature maps as a third output.")] = False,
    multi_label: Annotated[bool, typer.Option("--multi-label", help="Sigmoid, not softmax.")] = False,
    class_names: options.ClassNames = None,
    size: Annotated[
        int | None, typer.Option("--size", min=1, help="Side of the images. [default: the model's]")
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(
            "--int8",
            parser=expanded,
            metavar="FOLDER",
            help="Quantised to int8, calibrated on the pictures of a folder.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file: .onnx or .pt2.", **options.PLACE)] = Path(
        "model.onnx"
    ),
    set: options.Set = None,
) -> None:
    """Write a model that returns logits and maps, checked against PyTorch."""
    from reciprocam_bench.engine.subject import Asked
    from reciprocam_bench.exporting.asked import export_asked, lines_of

    values = options.of_backbone(weights, layer, class_names) | {
        "backbone.multi_label": multi_label or None,
        "preprocess": "model",
        # A config's own may be of a machine that makes runs; a file is float32, on any.
        **{"device": "cpu", "precision": "float32", "compile": False},
    }
    asked = Asked(config, model, factory, (method,), (), values, tuple(set or ()), "export")
    exported, notes = export_asked(
        asked,
        output,
        classes=classes,
        normalise=normalise,
        resolution=resolution,
        features=features,
        size=size,
        int8=int8,
    )
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(*lines_of(exported), sep="\n")
