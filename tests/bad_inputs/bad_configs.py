"""Bad configs, options and output folders."""

import os
from pathlib import Path

from bad_kinds import Kind, refusal

from reciprocam_bench.config_file import load_config
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.explainers.registry import make_method
from reciprocam_bench.metrics.registry import METRICS
from reciprocam_bench.protocols.protocol import load_protocol
from reciprocam_bench.registry import check_options
from reciprocam_bench.runfolder.folder import opened
from reciprocam_bench.runfolder.record import read_record
from reciprocam_bench.runfolder.suite import check_single

GOOD = (
    "backbone: {model: timm/test_resnet, weights: none}\ndataset: {name: folder, root: pictures}\nmethods: [gradcam]\n"
)
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)
)


def file(what: str, told: str, content: str | bytes) -> Kind:
    """A config file of this content; a text that begins with + stands behind a good config."""

    def tell(folder: Path) -> str:
        text = content.encode() if isinstance(content, str) else content
        (folder / "c.yaml").write_bytes(GOOD.encode() + text[1:] if text.startswith(b"+") else text)
        return refusal(lambda: load_config(str(folder / "c.yaml")))

    return Kind(what, told, tell)


def key(text: str, told: str) -> Kind:
    """One key with a bad value."""
    return file(f"`{text}`", f"c\\.yaml: {told}", f"+{text}\n")


def override(text: str, told: str) -> Kind:
    """``--set`` over a good config."""

    def tell(folder: Path) -> str:
        (folder / "c.yaml").write_text(GOOD)
        return refusal(lambda: load_config(str(folder / "c.yaml"), (text,)))

    return Kind(f"`--set {text[:40]}{'…' * (len(text) > 40)}`", told, tell)


def method(name: str, told: str, **options: object) -> Kind:
    """A method's option."""
    listed = ", ".join(f"{key}: {value}" for key, value in options.items())
    return Kind(f"method `{name}`, `{listed}`", told, lambda _: refusal(lambda: make_method(name, options, name)))


def metric(name: str, told: str, **options: object) -> Kind:
    """A metric's option."""
    listed = ", ".join(f"{key}: {value}" for key, value in options.items())
    check = lambda _: refusal(lambda: check_options(f"metric '{name}'", METRICS.get(name).function, options))  # noqa: E731
    return Kind(f"metric `{name}`, `{listed}`", told, check)


def a_pipe(folder: Path) -> str:
    os.mkfifo(folder / "c.yaml")
    # What follows depends on which configs there are.
    return refusal(lambda: load_config(str(folder / "c.yaml"))).partition(";")[0]


def a_protocol(content: str) -> object:
    def tell(folder: Path) -> str:
        (folder / "mine.yaml").write_text(content)
        return refusal(lambda: load_protocol(str(folder / "mine.yaml")))

    return tell


def the_whole_disk(folder: Path) -> str:
    (folder / "c.yaml").write_text(GOOD.replace("pictures", "/"))
    return refusal(lambda: load_dataset(load_config(str(folder / "c.yaml")).config.dataset))


def output(name: str, content: str | None = None) -> object:
    """An output folder, in which ``content`` makes a file."""

    def tell(folder: Path) -> str:
        place = folder / name
        if content is not None:
            place.parent.mkdir(exist_ok=True)
            place.write_text(content)
        place = place.parent if name.startswith("there/") else place

        def begin() -> None:
            check_single(place)
            with opened(place, fresh=False):
                pass

        return refusal(begin)

    return tell


def a_run_of(name: str, content: str) -> object:
    """A run folder with a bad file."""

    def tell(folder: Path) -> str:
        (folder / "config.yaml").write_text(f"{GOOD}seed: 0\n")
        (folder / name).write_text(content)
        return refusal(lambda: read_record(folder).rows())

    return tell


HEADING = "protocol,image,category\n"
YAML = [
    file(
        "a key given twice",
        r"c\.yaml: not readable as YAML: line 5, column 1: the key 'limit' is given twice",
        "+limit: 3\nlimit: 4\n",
    ),
    file(
        "nesting of 10,000 levels",
        r"c\.yaml: not readable as YAML: line 4, .* (nested deeper than 50 levels|exceeded maximum nesting depth)",
        f"+x: {'[' * 10_000}",
    ),
    file("aliases that explode", r"c\.yaml: not readable as YAML: .* more than 100,000 values", LAUGHS),
    file(
        "an alias inside of what it repeats",
        r"c\.yaml: not readable as YAML: .* stands inside of what it repeats",
        "a: &a [*a]\n",
    ),
    file("an alias of nothing", r"c\.yaml: not readable as YAML: .* undefined alias", "a: *b\n"),
    file(
        "a tag that makes Python objects",
        r"c\.yaml: not readable as YAML: .* could not determine a constructor",
        "a: !!python/object/apply:os.system [ls]\n",
    ),
    file("a number of 5,000 digits", r"c\.yaml: not readable as YAML: Exceeds the limit", f"+seed: {'1' * 5000}\n"),
    file("a date that is none", r"c\.yaml: not readable as YAML: month must be", "+limit: 2024-13-45\n"),
    file("a tab as indentation", r"c\.yaml: not readable as YAML: .* cannot start any token", "a:\n\tb: 1\n"),
    file("several documents", r"c\.yaml: not readable as YAML: .* expected a single document", "a: 1\n---\nb: 2\n"),
    file("bytes that are no text", r"c\.yaml: not readable as YAML: ", b"\x89PNG\r\n\x1a\n\x00\xff"),
    file("an empty file", r"c\.yaml: a config is a mapping of keys to values", ""),
    file("a list", r"c\.yaml: a config is a mapping of keys to values", "- a\n"),
    file("a file of 4 MB", r"c\.yaml: is larger than 4 MB", f"a: {'x' * 4_000_000}\n"),
    Kind("a named pipe", r"config 'c\.yaml' not found", a_pipe),
]
KEYS = [
    key("bach_size: 4", "unknown key 'bach_size'; did you mean 'batch_size'"),
    key("7: x", "7: Keys should be strings"),
    key("batch_size: 0", "batch_size: give a number of images from 1 to 4,096, or auto"),
    key("batch_size: 100000000000", "batch_size: give a number of images from 1 to 4,096, or auto"),
    key("threads: 1000000000000", "threads: Input should be less than or equal to 1024"),
    key("workers: 1000000000000000000000000000000", "workers: give a number of processes from 0 to 256, or auto"),
    key("limit: 1000000000000000000000000000000", "limit: Input should be less than or equal to 1000000000"),
    key("timing: {batch_size: 100000000000}", r"timing\.batch_size: give a number of images from 1 to 4,096"),
    key("timing: {repeats: 0}", r"timing\.repeats: give a number of rounds from 1 to 1,000,000, or auto, not 0"),
    key("timing: {budget_s: .inf}", r"timing\.budget_s: Input should be a finite number"),
    key("classes: true", "classes: give a number, not true"),
    key("classes: all", "classes: Input should be 'predicted'"),
    key("seed: -1", "seed: Input should be greater than or equal to 0"),
    key("maps: -1", "maps: give a number of images or a list of image ids, not -1"),
    key("metrics: []", "metrics: List should have at least 1 item"),
    key('metrics: [{name: adcc, label: "a|b"}]', r"metrics\.0\.label: String should match pattern"),
    key('metrics: [{name: adcc, label: "a\\nb"}]', r"metrics\.0\.label: String should match pattern"),
    key("protocol: [nowhere.yaml]", r"protocol\.0: nowhere\.yaml does not exist"),
    override("methods=[cam", "--set methods=.* is not a YAML value"),
    override("seed", "--set seed: write key=value"),
    override(f"{'a.' * 30}b=1", "--set a.*: no key lies 30 levels deep"),
    method("rise", "method 'rise': option 'samples': Input should be greater than or equal to 1, not 0", samples=0),
    method("blackboxreciprocam", "method 'blackboxreciprocam': option 'stride': Input should be greater", stride=0),
    method(
        "finercam", "method 'finercam': option 'gamma': Input should be a finite number, not inf", gamma=float("inf")
    ),
    method("rise", "method 'rise': option 'samples': give a number, not true", samples=True),
    method("gradcm", "unknown method 'gradcm'; did you mean 'gradcam'", steps=1),
    method("reciprocam", "method 'reciprocam': unknown option 'msk'; did you mean 'mask'", msk="gaussian"),
    metric(
        "parameter_randomisation", "metric 'parameter_randomisation': option 'steps': Input should be greater", steps=0
    ),
    metric("infidelity", "metric 'infidelity': option 'sigma': Input should be a finite number", sigma=float("nan")),
    Kind(
        "a protocol whose size is 10^9",
        r"mine\.yaml: ",
        a_protocol("base: poppi-2021\nname: mine\npreprocess: {size: 1000000000}\n"),
    ),
    Kind("`dataset.root: /`", r"dataset\.root: / is the whole file system", the_whole_disk),
]
FOLDERS = [
    Kind(
        "an output name of 300 letters",
        "'.*' cannot be a folder: File name too long; give another name",
        output("x" * 300),
    ),
    Kind("a NUL in the output's name", "'.*' cannot be a folder: .*embedded null", output("a\0b")),
    Kind("an output that is a file", "out is a file; give --output another name", output("out", "x")),
    Kind("an output that holds other files", "there holds files but no run", output("there/notes.txt", "mine")),
    Kind(
        "a row that is cut off, then rows",
        r"per_image\.csv, line 2: 2 cells, the heading has 3",
        a_run_of("per_image.csv", f"{HEADING}a,b\na,b,c\n"),
    ),
    Kind(
        "a table with NUL bytes",
        r"per_image\.csv, line 2: holds NUL bytes",
        a_run_of("per_image.csv", f"{HEADING}a,\0,c\n"),
    ),
    Kind(
        "a table saved by a spreadsheet",
        r"per_image\.csv, line 1: ends in a carriage return",
        a_run_of("per_image.csv", HEADING.replace("\n", "\r\n")),
    ),
    Kind(
        "a table with a column twice",
        r"per_image\.csv, line 1: a column is there twice",
        a_run_of("per_image.csv", "image,image\n"),
    ),
    Kind(
        "`environment.json` of 100,000 levels",
        r"environment\.json, line 1: not readable as JSON: too deep",
        a_run_of("environment.json", "[" * 100_000),
    ),
]
GROUPS = {"Config files": YAML, "Keys and options": KEYS, "Run folders": FOLDERS}
