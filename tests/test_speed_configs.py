"""The paper's pair and the fast pair: two configs, whose rows are never in one table."""

from pathlib import Path

import pytest

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.config import Config
from reciprocam_bench.config_file import Suite, load_config, load_experiments
from reciprocam_bench.engine.experiment import _check_labels, make_methods

CONFIGS = Path(__file__).parents[1] / "configs"


def pair(name: str) -> Config:
    return load_config(str(CONFIGS / f"{name}.yaml")).config


def implementations(config: Config, backbone: Backbone) -> dict[str, str]:
    return {
        m.title: m.spec.implementation(backbone, m.options) for m in make_methods(config.methods, backbone, config.seed)
    }


@pytest.mark.slow
def test_the_rows_of_the_pairs_are_distinct(tiny: Backbone) -> None:
    paper, fast = (implementations(pair(name), tiny) for name in ("recipro_speed", "recipro_speed_fast"))
    assert list(paper) == ["torchcam:ScoreCAM", "reciprocam[path=reference]"]
    assert paper["reciprocam[path=reference]"] == "reference"
    assert paper["torchcam:ScoreCAM"].startswith("torchcam ")
    assert list(fast) == ["scorecam", "reciprocam"]
    assert fast["reciprocam"] == "closed-form"
    assert not paper.keys() & fast.keys()


@pytest.mark.parametrize("name", ["recipro_speed", "recipro_speed_fast"])
def test_each_pair_is_timed_one_image_at_a_time_against_its_own_score_cam(name: str) -> None:
    config = pair(name)
    assert config.timing is not None
    assert config.timing.batch_size == config.batch_size == 1
    assert isinstance(config.timing.repeats, int) and config.timing.repeats > 1, "one block has no interval"
    score_cam, recipro = config.methods
    assert config.timing.relative_to == score_cam.title
    assert "scorecam" in score_cam.title.lower() and recipro.name == "reciprocam"
    assert not score_cam.options, "its defaults"


def test_both_pairs_ask_the_same_network_and_images() -> None:
    paper, fast = pair("recipro_speed"), pair("recipro_speed_fast")
    assert (paper.backbone, paper.dataset, paper.protocol) == (fast.backbone, fast.dataset, fast.protocol)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_judged_and_timed_under_one_name_is_one_method(path: Path) -> None:
    loaded = load_experiments(str(path))
    for config in loaded.configs if isinstance(loaded, Suite) else [loaded.config]:
        timed = (config.timing and config.timing.methods) or config.methods
        made = [make_methods(methods, None, config.seed) for methods in (config.methods, timed)]
        _check_labels(*made)
