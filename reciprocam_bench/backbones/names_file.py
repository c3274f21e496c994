"""Names for the outputs of a network of one's own."""

from reciprocam_bench.errors import UserError
from reciprocam_bench.regular import not_a_file
from reciprocam_bench.variables import expanded


def read_class_names(name: str) -> list[str]:
    """The lines of a file, the first being the name of output 0; ``UserError`` for one that cannot be read.

    Lines may be blank at the end alone: elsewhere the names behind one would belong to other outputs.
    """
    path = expanded(name)
    if reason := not_a_file(path):
        raise UserError(f"backbone.class_names: {path} {reason}; give a file with a name on each line")
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"backbone.class_names: {path} cannot be read: {error}") from None
    if "" in names or not names:
        raise UserError(f"backbone.class_names: {path}, line {(names or ['']).index('') + 1} is blank; write a name")
    return names
