"""``rcam-bench explain``."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from reciprocam_bench.cli import options
from reciprocam_bench.variables import expanded


def command(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER...", help="Images, or folders of them.")],
    model: options.Model = None,
    factory: options.Factory = None,
    config: options.NetworkOf = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="A method, also with options: 'reciprocam[mask=gaussian]'; or all. Repeatable. "
            "[default: the config's; gradcam, reciprocam; of an ONNX file exported; at the image, or where the file "
            "has no maps, blackboxreciprocam]",
        ),
    ] = None,
    weights: options.Weights = None,
    layer: options.Layer = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="A class's index or name. Repeatable. [default: the predicted class]"),
    ] = None,
    class_names: options.ClassNames = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="A score of each map. Repeatable. [default: average_drop, complexity]"),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the pictures.", **options.PLACE)] = Path(
        "explained"
    ),
    form: Annotated[
        list[str] | None, typer.Option("--format", "-f", help="Of sheets: png, pdf or svg. Repeatable. [default: png]")
    ] = None,
    dpi: Annotated[int | None, typer.Option("--dpi", help="Pixels an inch of sheets. [default: 150]")] = None,
    colormap: Annotated[str | None, typer.Option("--colormap", help="Of matplotlib's. [default: jet]")] = None,
    alpha: Annotated[float | None, typer.Option("--alpha", help="Opacity of the heat, 0 to 1. [default: 0.55]")] = None,
    maps: Annotated[bool, typer.Option("--maps", help="The heat alone too, on a transparent ground.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    device: options.Device = None,
    set: options.Set = None,
) -> None:
    """Explain pictures: an overlay for each method, a sheet of all for each picture, and a figure of all pictures."""
    from reciprocam_bench.engine.explained import explain_pictures, lines_of
    from reciprocam_bench.engine.subject import Asked

    values = options.of_backbone(weights, layer, class_names) | {
        "metrics": metric,
        "pictures.formats": form,
        "pictures.dpi": dpi,
        "pictures.colormap": colormap,
        "pictures.alpha": alpha,
        "device": device,
    }
    asked = Asked(config, model, factory, tuple(method or ()), tuple(classes or ()), values, tuple(set or ()))
    images = [expanded(image) for image in images]
    several = len(images) > 1 or images[0].is_dir()
    outcome = explain_pictures(
        images,
        asked,
        output,
        maps=maps,
        tell=lambda r: None if as_json else print(*[f"{r['image']}:"] * several, *lines_of(r), sep="\n", flush=True),
        warn=lambda note: print(f"note: {note}", file=sys.stderr),
    )
    for line in [json.dumps(asdict(outcome), indent=2, allow_nan=False)] if as_json else outcome.figure:
        print(line)
    outcome.check(output)
