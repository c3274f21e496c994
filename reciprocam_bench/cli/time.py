"""``rcam-bench time``."""

from pathlib import Path
from typing import TYPE_CHECKING

from reciprocam_bench.cli import options
from reciprocam_bench.config import Config

if TYPE_CHECKING:
    from reciprocam_bench.engine.run import Screen


def command(
    config: options.ConfigName = None,
    config_option: options.ConfigOption = None,
    output: options.Output = None,
    limit: options.Limit = None,
    device: options.Device = None,
    set: options.Set = None,
    fresh: options.Fresh = False,
    quiet: options.Quiet = False,
) -> None:
    """Only the timing part of a run; measured anew each time."""
    name = options.one_config(config, config_option)
    settings = options.read_experiments(name, limit, device, set)
    folder = options.run_folder(name, output, set)
    from reciprocam_bench.engine.complete import only_time
    from reciprocam_bench.reporting.summary import write_tables

    def one(config: Config, path: Path, screen: "Screen") -> None:
        only_time(config, path, fresh=fresh, screen=screen, summarise=write_tables)

    options.run_each(settings, folder, quiet, one, ("timing",))
