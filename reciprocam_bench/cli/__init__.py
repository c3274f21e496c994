"""The command line: one module per verb; each parses, calls and prints.

Torch is imported inside the verbs, so that ``--help`` answers at once.
"""

import io
import os
import sys
from signal import SIGINT, Signals

import typer

from reciprocam_bench.cli import check, compare, explain, export, fit_head, ls, merge, report, run, time, validate
from reciprocam_bench.cli.stopping import stopped_by_signals
from reciprocam_bench.errors import OUT_OF_MEMORY, UserError, is_out_of_memory
from reciprocam_bench.version import __version__

_KEPT = "what is done is kept, the same command goes on"

app = typer.Typer(
    name="rcam-bench",
    help="Benchmark class-activation-map (CAM) methods on real networks and real images.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # brackets are titles and defaults here, not markup
)
for verb in (run, time, report, compare, check, explain, export, fit_head, merge, ls, validate):
    app.command(verb.__name__.rpartition(".")[2].replace("_", "-"))(verb.command)


def _version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print it."),
) -> None:
    pass


def main() -> None:
    """Run the command line; a mistake of the user's becomes one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    with stopped_by_signals() as signals:
        _main(signals)


def _main(signals: list[Signals]) -> None:
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False, prog_name="rcam-bench")
        if code == 130:  # typer turns Ctrl-C into this
            raise KeyboardInterrupt
        sys.exit(code or 0)
    except UserError as error:
        print(f"rcam-bench: {_printable(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        by = f" by {signals[0].name}" if signals else ""
        print(f"\nrcam-bench: stopped{by}; a run goes on where it was with the same command", file=sys.stderr)
        sys.exit(128 + (signals[0] if signals else SIGINT))
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        print(f"rcam-bench: {_of_the_system(error)}; {_KEPT}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if is_out_of_memory(error):
            print(f"rcam-bench: {OUT_OF_MEMORY}; {_KEPT}", file=sys.stderr)
            sys.exit(2)
        if not hasattr(error, "format_message"):  # the mark of click's usage errors, wherever typer keeps click
            raise
        print(f"rcam-bench: {' '.join(error.format_message().split())} (rcam-bench --help)", file=sys.stderr)
        sys.exit(2)


def _printable(text: str) -> str:
    """One line without control characters: a file's name may hold any, and a terminal obeys them."""
    return "".join(c if c.isprintable() else "?" for c in text.replace("\n", " "))


def _of_the_system(error: OSError) -> str:
    """What the system refused: a place on disk, a file that went away."""
    place = f"{str(error.filename)[-200:]}: " if error.filename else ""
    return f"{place}{error.strerror or error}"
