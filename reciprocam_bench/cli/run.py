"""``rcam-bench run``."""

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
    shard: options.Shard = None,
    quiet: options.Quiet = False,
) -> None:
    """Run an experiment: judge, time, and write the tables. A stopped run continues; a finished one can grow."""
    name = options.one_config(config, config_option)
    settings = options.read_experiments(name, limit, device, set)
    folder = options.run_folder(name, output, set)
    from reciprocam_bench.engine.complete import complete
    from reciprocam_bench.engine.ranks import this_rank
    from reciprocam_bench.engine.shards import parse_shard
    from reciprocam_bench.reporting.summary import warnings_of, write_tables

    part = parse_shard(shard) if shard else None

    def one(config: Config, path: Path, screen: "Screen") -> None:
        complete(config, path, fresh=fresh, screen=screen, summarise=write_tables, shard=part)
        for line in warnings_of(path) if this_rank().leads and not part else ():
            screen.say(f"note: {line}")
        if not quiet and this_rank().leads and not part:
            _page(path, screen)

    options.run_each(settings, folder, quiet, one, () if part else ("summary", "timing"))


def _page(path: Path, screen: "Screen") -> None:
    """Write the page of a run; what keeps it from being written does not make the run fail."""
    from reciprocam_bench.errors import UserError
    from reciprocam_bench.reporting.page.write import write_page

    try:
        screen.say(f"page: {write_page([path])}")
    except UserError as error:
        screen.say(f"note: no page: {error}")
