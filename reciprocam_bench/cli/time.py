"""``rcam-bench time``."""

from reciprocam_bench.cli import options


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
    settings = options.read(name, limit, device, set)
    folder = options.run_folder(name, output, set)
    from reciprocam_bench.engine.complete import only_time

    only_time(settings, folder, fresh=fresh, screen=options.screen(quiet))
    if not quiet:
        options.show(folder, parts=("timing",))
