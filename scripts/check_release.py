"""Refuse a release whose tag, version, citation and changelog disagree: `python scripts/check_release.py v0.2.0`."""

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def faults(tag: str, root: Path = ROOT) -> list[str]:
    """What stands in the way of releasing the tree under ``root`` as ``tag``."""
    found = re.search(r'__version__ = "(.+)"', (root / "reciprocam_bench" / "version.py").read_text("utf-8"))
    version = found[1] if found else ""
    cited = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))["version"]
    headings = re.findall(r"(?m)^## (.+)$", (root / "CHANGELOG.md").read_text("utf-8"))
    told = []
    if tag != f"v{version}":
        told.append(f"the tag is {tag}, reciprocam_bench/version.py says {version}; tag it v{version}")
    if cited != version:
        told.append(f"CITATION.cff cites {cited}, not {version}")
    first = headings[0] if headings else ""
    if first.partition(" ")[0] != version or "unreleased" in first:
        told.append(f"CHANGELOG.md begins with '{first}'; its first heading is to be {version} and a date")
    return told


if __name__ == "__main__":
    sys.exit("\n".join(faults(sys.argv[1])) or 0)
