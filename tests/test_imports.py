"""The arrows of the house, read from its imports."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "reciprocam_bench"
HEAVY = {"torch", "torchvision", "timm", "sklearn", "scipy", "matplotlib"}
READERS = ["reporting", "gate", "runfolder", "aggregation", "config", "config_file", "errors", "titles", "overrides"]
READERS += ["protocols.protocol", "protocols.papers", "protocols.published"]
READERS += ["config_protocol", "variables", "yaml_file", "truth"]
READERS += ["cli.report", "cli.compare", "cli.check"]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports(name: str, inside: bool) -> frozenset[str]:
    """What a module imports when it is loaded; with ``inside`` also what its functions import later."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(MODULES[name].read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not inside:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {w if w in MODULES else str(node.module) for w in whole}
        todo.extend(ast.iter_child_nodes(node))
    return frozenset(found)


def room(name: str) -> str:
    return name.removeprefix("reciprocam_bench").lstrip(".").partition(".")[0]


def reached(name: str) -> set[str]:
    """Every module of ours, and every package of others, that loading a module loads."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        if current in MODULES:
            todo += imports(current, inside=False)
    return seen


def test_there_is_no_circle() -> None:
    inside = {name: imports(name, inside=room(name) not in ("", "cli")) & MODULES.keys() for name in MODULES}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name not in done:
            for other in sorted(inside[name]):
                visit(other, (*above, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize(
    ("who", "whom"),
    [
        ("explainers", ("peers", "metrics", "engine", "reporting", "runfolder", "exporting")),
        ("metrics", ("engine", "reporting", "runfolder", "peers")),
        ("engine", ("reporting", "cli", "fitting", "exporting")),
        ("exporting", ("metrics", "reporting", "cli", "fitting", "gate", "peers")),
        ("runfolder", ("engine", "reporting", "gate", "metrics", "explainers", "backbones", "datasets")),
        ("gate", ("engine", "metrics", "explainers", "backbones", "datasets", "peers", "timing", "protocols")),
        ("reporting", ("gate", "engine", "metrics", "explainers", "backbones", "datasets", "peers", "timing")),
        ("backbones", ("engine", "explainers", "metrics", "datasets", "reporting", "runfolder")),
        ("datasets", ("engine", "explainers", "metrics", "reporting", "runfolder")),
        ("protocols", ("engine", "metrics", "datasets", "backbones", "reporting", "runfolder")),
    ],
)
def test_arrows_point_one_way(who: str, whom: tuple[str, ...]) -> None:
    arrows = {f"{name} -> {other}" for name in MODULES if room(name) == who for other in imports(name, inside=True)}
    assert arrows, f"no room {who}"
    assert not {a for a in arrows if room(a.partition(" -> ")[2]) in whom and "-> reciprocam_bench" in a}


def test_nothing_imports_the_command_line() -> None:
    for name in MODULES:
        if room(name) not in ("cli", "__main__"):
            assert not {other for other in imports(name, inside=True) if other.startswith("reciprocam_bench.cli")}, name


@pytest.mark.parametrize("reader", READERS)
def test_readers_load_no_torch(reader: str) -> None:
    names = [n for n in MODULES if n == f"reciprocam_bench.{reader}" or n.startswith(f"reciprocam_bench.{reader}.")]
    assert names
    for name in names:
        loaded = {other.partition(".")[0] for other in reached(name)}
        draws = name.startswith("reciprocam_bench.reporting.plots.")
        assert not loaded & (HEAVY - {"matplotlib"} if draws else HEAVY), name


@pytest.mark.slow
def test_a_report_is_made_without_torch() -> None:
    code = (
        "import sys; from reciprocam_bench.cli import main; sys.argv = ['rcam-bench', 'report', 'results/quickstart']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        f"print(sorted({HEAVY!r} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and done.stderr == "[]\n"
    assert "ADCC" in done.stdout
