"""``rcam-bench explain``."""

from pathlib import Path
from typing import Annotated

import typer

from reciprocam_bench.cli import options


def command(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    model: Annotated[str, typer.Option("--model", "-m", help="torchvision/NAME or timm/NAME.")],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method", help="A method; repeatable. [default: gradcam, reciprocam; at the image blackboxreciprocam]"
        ),
    ] = None,
    weights: Annotated[str, typer.Option("--weights", help="default, none, a named set, or a file.")] = "default",
    layer: Annotated[str, typer.Option("--layer", help="auto, or a layer's name.")] = "auto",
    class_index: Annotated[
        int | None, typer.Option("--class", min=0, help="Class index. [default: the predicted class]")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the PNG files.")] = Path("explained"),
    device: options.Device = None,
) -> None:
    """Explain one picture: an overlay for each method, and one sheet with all of them."""
    from reciprocam_bench.engine.one_image import explain_image

    # At the image there are no features to look at: the network is only called.
    methods = method or (["blackboxreciprocam"] if layer == "image" else ["gradcam", "reciprocam"])
    heading, written = explain_image(
        image,
        model,
        methods,
        weights=weights,
        layer=layer,
        class_index=class_index,
        output=output,
        device=device or "auto",
    )
    print(heading)
    for path in written:
        print(path)
