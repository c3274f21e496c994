"""Every kind of bad input that docs/bad_input.md lists is tried, and told as it says there."""

import re
from pathlib import Path
from types import ModuleType

import bad_configs
import bad_datasets
import bad_images
import bad_networks
import bad_onnx
import pytest
from bad_kinds import Kind, said
from load_script import load_script

ROOT = Path(__file__).resolve().parents[2]
GROUPS = bad_configs.GROUPS | bad_images.GROUPS | bad_datasets.GROUPS | bad_networks.GROUPS | bad_onnx.GROUPS
KINDS = [pytest.param(kind, id=f"{group}: {kind.what}"[:80]) for group, kinds in GROUPS.items() for kind in kinds]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("bad_input_table")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_input_is_told_in_one_line(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_pipe: object, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    message = said(kind, tmp_path)
    assert re.match(kind.told, message), message
    assert len(message) < 350
    assert capfd.readouterr() == ("", "")


def test_the_page_lists_each_kind_with_what_is_told_of_it(script: ModuleType) -> None:
    listed = script.listed((ROOT / script.PAGE).read_text("utf-8"))
    assert {group: list(rows) for group, rows in listed.items()} == {
        group: [script.in_a_cell(kind.what) for kind in kinds] for group, kinds in GROUPS.items()
    }
    assert sum(map(len, listed.values())) >= 60
    for group, kinds in GROUPS.items():
        for kind in kinds:
            message = script.plain(listed[group][script.in_a_cell(kind.what)])
            assert re.match(kind.told, message), (group, kind.what)
