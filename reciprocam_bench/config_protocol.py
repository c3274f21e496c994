"""The part of the config's schema that names protocols: installed ones, and files of one's own."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from reciprocam_bench.errors import UserError
from reciprocam_bench.protocols.protocol import Protocol, is_file_name, parse_protocol, read_protocol
from reciprocam_bench.regular import not_a_file
from reciprocam_bench.variables import expanded, fill_environment


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


def _read(value: Any) -> Any:
    """A protocol of one's own from its file or its content; the name of an installed one stays a name."""
    try:
        if isinstance(value, dict):
            return parse_protocol(value)
        if isinstance(value, str) and is_file_name(value):
            return read_protocol(expanded(fill_environment(value)))
    except UserError as error:
        raise ValueError(str(error)) from None  # parse_config says where
    return value


# A stored config holds the content of one's own, so that a run folder is read and continued without the file.
ListOfProtocols = Annotated[list[Annotated[str | Protocol, BeforeValidator(_read)]], BeforeValidator(_listed)]


def found_beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The content of a config file in ``folder``, beside which its protocols lie if not in the working folder."""
    given = data.get("protocol")
    if isinstance(given, str):
        return data | {"protocol": _beside(given, folder)}
    if isinstance(given, list):
        return data | {"protocol": [_beside(one, folder) for one in given]}
    return data


def _beside(protocol: Any, folder: Path) -> Any:
    if not isinstance(protocol, str) or not is_file_name(protocol) or not not_a_file(protocol):
        return protocol
    return protocol if not_a_file(folder / protocol) else str(folder / protocol)
