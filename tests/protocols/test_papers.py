"""Papers as data: what their tables and claims name exists, and agrees with the values they printed."""

from pathlib import Path

import pytest

from reciprocam_bench.config_file import Suite, load_experiments
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.registry import EXPLAINERS
from reciprocam_bench.metrics.registry import METRICS
from reciprocam_bench.protocols.papers import BestClaim, DifferenceClaim, Paper, SpeedupClaim, load_paper, paper_names
from reciprocam_bench.protocols.protocol import protocol_names
from reciprocam_bench.protocols.published import printed, published
from reciprocam_bench.titles import parse_title


@pytest.fixture(params=paper_names())
def paper(request: pytest.FixtureRequest) -> Paper:
    return load_paper(request.param)


def test_which_papers_there_are() -> None:
    assert paper_names() == ["recipro-2024", "torchray-2019", "vit-reciprocam-2023"]
    with pytest.raises(UserError, match=r"^--paper recipro: no such paper; did you mean 'recipro-2024'\?$"):
        load_paper("recipro")


def test_every_cell_of_the_table_was_printed_and_nothing_else(paper: Paper) -> None:
    table = printed(paper.name)
    cells = {(d.id, b.id, m.id) for d in paper.datasets for b in paper.backbones for m in paper.methods}
    assert table.keys() == cells
    for cell in table.values():
        assert cell.values.keys() == {c.id for c in paper.columns} and cell.provenance


def test_what_it_names_is_known(paper: Paper) -> None:
    assert set(paper.protocols) <= set(protocol_names())
    for column in paper.columns:
        spec = METRICS.get(column.id.removesuffix("_difficult"))
        assert spec.higher_is_better == (column.better == "higher")
    claimed = [t for c in paper.claims if isinstance(c, SpeedupClaim) for t in c.method]
    for title in [v for m in paper.methods if m.ours for v in m.ours] + claimed:
        assert EXPLAINERS.get(parse_title(title)["name"])


def test_the_range_of_the_abstract_is_that_of_its_four_backbones() -> None:
    claim = load_paper("recipro-2024").claims[0]
    assert isinstance(claim, DifferenceClaim)
    gains = [gain(claim, backbone) for backbone in claim.backbones]
    assert (min(gains), max(gains)) == (1.78, 3.72) and "1.78 to 3.72" in claim.text
    claim = load_paper("vit-reciprocam-2023").claims[0]
    assert isinstance(claim, DifferenceClaim)
    gains = [gain(claim, backbone.id) for backbone in load_paper("vit-reciprocam-2023").backbones]
    assert (min(gains), max(gains)) == (4.58, 5.80) and "4.58 to 5.80" in claim.text


def gain(claim: DifferenceClaim, backbone: str) -> float:
    paper = next(n for n in paper_names() if claim in load_paper(n).claims)
    table = printed(paper)
    ours, other = (table["imagenet", backbone, row].values[claim.metric] for row in (claim.method, claim.over))
    return round(ours - other, 2)


def test_its_own_table_says_that_vgg_has_another_best() -> None:
    paper = load_paper("recipro-2024")
    claim = next(c for c in paper.claims if isinstance(c, BestClaim))
    best = {}
    for backbone in paper.backbones:
        adcc = {m.id: printed(paper.name)["imagenet", backbone.id, m.id].values[claim.metric] for m in paper.methods}
        best[backbone.title] = max(adcc, key=adcc.__getitem__)
    assert best.pop("VGG-16") == "scorecam" and set(best.values()) == {claim.method}


def test_a_claim_on_what_the_table_does_not_hold_is_refused() -> None:
    content = load_paper("recipro-2024").model_dump()
    content["claims"][0]["over"] = "lime"
    with pytest.raises(ValueError, match="names lime, not of the table"):
        Paper.model_validate(content)


def test_copied_values_are_once_in_the_file_and_in_both_protocols() -> None:
    copied, own = ("torchvision/resnet50", "scorecam"), ("torchvision/resnet50", "reciprocam")
    assert published("poppi-2021", "imagenet")[copied].values == published("recipro-2024", "imagenet")[copied].values
    assert published("recipro-2024", "imagenet")[copied].provenance.endswith("from Poppi et al. 2021: another protocol")
    assert own in published("recipro-2024", "imagenet") and own not in published("poppi-2021", "imagenet")
    deit = ("timm/deit_base_patch16_224", "vitreciprocam")
    assert all(deit not in published(p, "imagenet") for p in protocol_names())  # its protocol is not known


def test_the_config_of_its_table_is_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMAGENET_ROOT", str(tmp_path))
    suite, paper = load_experiments("recipro_table1"), load_paper("recipro-2024")
    assert isinstance(suite, Suite)
    assert [c.backbone.model for c in suite.configs] == [b.id for b in paper.backbones]
    for config in suite.configs:
        assert config.backbone.weights == paper.weights and config.named_protocols == paper.protocols
        assert [m.title for m in config.methods] == [m.id for m in paper.methods]
        assert [m.title for m in config.metrics] == [c.id for c in paper.columns]
