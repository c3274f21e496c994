"""Runs under a protocol of one's own: what its folder says, and what a later start refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from tiny_runs import config, contents, copy_of, environment, run, table, tables, write_environment

from reciprocam_bench.config import Config
from reciprocam_bench.config_file import load_config
from reciprocam_bench.errors import UserError
from reciprocam_bench.protocols.protocol import read_protocol
from reciprocam_bench.reporting.compare import compare
from reciprocam_bench.reporting.report import report

pytestmark = pytest.mark.slow

MINE = {"name": "mine", "version": 3, "base": "recipro-2024", "classes": "predicted", "upsample": {"clamp": True}}
Made = Callable[..., Config]


@pytest.fixture
def made(seven: Path, tmp_path: Path) -> Made:
    """A config under a protocol of one's own, and with these changes of its file."""

    def make(protocols: tuple = (), **changes: object) -> Config:
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(MINE | changes))
        return config(seven, protocol=[*protocols, str(path)], metrics=["complexity", "average_drop"], limit=3)

    return make


def test_rows_and_definitions_say_which_protocol_made_them(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(made(("standard",)), folder)
    stamped = {("standard", 1), ("mine", 3)}
    for name in ("per_image", "summary"):
        found = table(folder, name)
        assert list(found.columns[:4])[-3:] == ["protocol_version", "image", "category"] or name == "summary"
        assert set(zip(found["protocol"], found["protocol_version"], strict=True)) == stamped
    definitions = environment(folder)["definitions"]["protocols"]
    mine = read_protocol(tmp_path / "mine.yaml")
    assert definitions["mine"] == {"version": 3, "classes": "predicted", "choices": mine.choices}
    values = table(folder).set_index(["protocol", "image", "method"])["average_drop"].unstack("protocol")
    assert (values["mine"] != values["standard"]).any()
    # Whoever has the folder alone reads it, compares in it, and makes it again.
    before = tables(folder)
    (tmp_path / "mine.yaml").unlink()
    assert "mine" in report(folder, "markdown")
    assert {"mine", "standard"} == set(pd.read_csv(folder / "summary.csv")["protocol"])
    compare([folder], "csv")
    comparison = pd.read_csv(folder / "comparison.csv")
    assert set(zip(comparison["protocol"], comparison["protocol_version"], strict=True)) == stamped
    run(load_config(str(folder / "config.yaml")).config, tmp_path / "again")
    assert tables(tmp_path / "again") == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 4}, "version was 3, is 4"),
        ({"masked": "raw"}, "masked was normalised, is raw"),
        ({"upsample": {"clamp": False}}, "upsample.clamp was True, is False"),
        ({"preprocess": {"size": 250}}, "preprocess.size was 256, is 250"),
        (
            {"options": {"gini": {}}},
            "options was {'insertion_auc': {'variant': 'recipro-2024'}, "
            "'deletion_auc': {'variant': 'recipro-2024'}}, is {",
        ),
    ],
)
def test_a_file_that_changed_between_starts_is_refused(made: Made, tmp_path: Path, change: dict, told: str) -> None:
    folder = tmp_path / "run"
    run(made(), folder)
    before = contents(folder)
    with pytest.raises(UserError) as caught:
        run(made(**change), folder)
    assert str(caught.value).startswith(f"{folder} holds a finished run of another config (protocol 'mine': {told}")
    assert "; give --output another folder, or --fresh to replace it" in str(caught.value)
    assert contents(folder) == before
    run(made(**change, name="another"), folder)  # under a name of its own it joins the run
    assert set(table(folder)["protocol"]) == {"another"} | {"mine"}


def test_a_folder_of_before_goes_on_to_the_same_tables(made: Made, tmp_path: Path) -> None:
    whole = made(("standard",))
    run(whole, tmp_path / "whole")
    run(made(), tmp_path / "run")
    for old in (tmp_path / "run", copy_of(tmp_path / "whole", tmp_path / "finished")):
        for name in ("per_image", "summary"):
            frame = pd.read_csv(old / f"{name}.csv", dtype=str, keep_default_na=False)
            frame.drop(columns="protocol_version").to_csv(old / f"{name}.csv", index=False, lineterminator="\n")
        content = environment(old)
        for protocol in content["definitions"]["protocols"].values():
            del protocol["choices"]
        write_environment(old, content)
        assert report(old, "csv").startswith("backbone,dataset,protocol,protocol_version,method,")
        run(whole, old)
        assert (old / "per_image.csv").read_bytes() == (tmp_path / "whole/per_image.csv").read_bytes()
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")
    assert environment(tmp_path / "run")["definitions"] == environment(tmp_path / "whole")["definitions"]


def test_a_folder_without_its_environment_still_knows_its_protocol(made: Made, tmp_path: Path) -> None:
    run(made(), tmp_path / "run")
    before = tables(tmp_path / "run")
    (tmp_path / "run/environment.json").unlink()
    assert "mine" in report(tmp_path / "run", "markdown")
    run(made(), tmp_path / "run")
    assert tables(tmp_path / "run") == before


def test_two_of_one_name_are_refused(made: Made, tmp_path: Path) -> None:
    other = {**MINE, "masked": "raw"}
    with pytest.raises(UserError, match=r"protocol: 'mine' is listed twice; remove one, or give one another name"):
        run(made((other,)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {"deletionauc": {}}}, "options.deletionauc: unknown metric 'deletionauc'; did you mean"),
        (
            {"options": {"top_drop": {"kep": 1}}},
            "options.top_drop: metric 'top_drop': unknown option 'kep'; did you mean 'keep'?",
        ),
        (
            {"options": {"top_drop": {"keep": "x"}}},
            "options.top_drop: metric 'top_drop': option 'keep': Input should be a valid number",
        ),
        (
            {"name": "standard"},
            "name: 'standard' is an installed protocol with other choices; give yours another name",
        ),
    ],
)
def test_what_only_a_run_can_check_is_one_line(made: Made, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError) as caught:
        run(made(**changes), tmp_path / "run")
    assert str(caught.value).startswith(f"{tmp_path / 'mine.yaml'}: {message}") and "\n" not in str(caught.value)


def test_rows_of_another_version_are_not_joined(made: Made, tmp_path: Path) -> None:
    run(made(), tmp_path / "run")
    path = tmp_path / "run/per_image.csv"
    text = path.read_text()
    path.write_text(text.replace("\nmine,3,", "\nmine,2,", 1))
    assert path.read_text() != text
    message = r"per_image.csv, line \d: a row of version '2' of mine in a run of version 3; rows of different"
    for reading in (lambda: report(tmp_path / "run", "markdown"), lambda: run(made(), tmp_path / "run")):
        with pytest.raises(UserError, match=message):
            reading()
    assert json.loads((tmp_path / "run/environment.json").read_text())["finished"]
