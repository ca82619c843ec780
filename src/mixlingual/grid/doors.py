"""Takes every entry point the same way: compose, check, call one function, and say what went wrong."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from mixlingual.config.checks import NO_CHOICE, NO_GROUP, ConfigError, Schema, text_options, to_config
from mixlingual.config.schema import SCHEMAS, sections
from mixlingual.grid.hydra import CONF_DIR, last_parts, register
from mixlingual.records import MixlingualError
from mixlingual.runs.exits import ExitCode
from mixlingual.runs.lease import PeerLostError, leave, slurm_job, types_in_shell

log = logging.getLogger(__name__)

_WITHOUT_CHOICE = ("experiment", "runs", "sweep")
"""Groups of presets of which none is chosen unless the command line does."""

End = Callable[[BaseException], None]


def exit_with_mistake(_: BaseException) -> None:
    """Ends the process after any exception."""
    sys.exit(ExitCode.ERROR)


def end_cell(error: BaseException) -> None:
    """Ends the process after `error`, unless other cells of the grid come after this one in it.

    Hydra would otherwise give the exception to submitit as a result, and Slurm would say COMPLETED.
    """
    mode, executor = HydraConfig.get().mode, os.environ.get("SUBMITIT_EXECUTOR")
    if executor == "slurm" or (executor is None and mode == RunMode.RUN and slurm_job() and not types_in_shell()):
        leave(exit_code(error))
    if mode == RunMode.RUN:
        sys.exit(ExitCode.ERROR)


def exit_code(error: BaseException) -> int:
    """Exit code of a cell's process under Slurm, for what ended it."""
    return ExitCode.PEER_LOST if isinstance(error, PeerLostError) else ExitCode.FAILED


@contextmanager
def answering(end: End = exit_with_mistake) -> Iterator[None]:
    """Says what went wrong, without a traceback where the user can mend it, and calls `end`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        if end is not exit_with_mistake:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)  # nobody reads on, as after `| head`
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:
        known = isinstance(error, MixlingualError | HydraException | OSError | PeerLostError)
        if known or "(os error " in str(error):  # as the libraries in Rust put an OSError
            log.error(error)  # noqa: TRY400 - the message is for the user
        else:
            log.exception("this is a fault of the program")
        end(error)


def door(
    primary: str, schema: type[Schema], act: Callable[[Schema], object], end: End = exit_with_mistake
) -> Callable[[], None]:
    """The `main` of an entry point.

    Args:
        primary: name of its file in conf/, without .yaml.
        schema: its options.
        act: what it does; what it returns goes to Hydra, for a search.
        end: what becomes of the process after an exception.
    """

    def task(cfg: DictConfig) -> object:
        with answering(end):
            return act(to_config(schema, cfg))
        return None

    def main() -> None:
        with answering():
            register()
            sys.argv[1:] = as_written(sys.argv[1:], schema)
            hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=primary)(task)()

    return main


def as_written(words: Sequence[str], schema: type) -> list[str]:
    """The words of a command line, spelled so that Hydra takes them for what they say.

    Alone it reads sweep_name=2024_11_28 as 20241128 and model.revision=12e4567 as infinity, refuses sweep_name=Größe,
    and ends in a traceback at optim=null, which now reaches `to_config` as a mistake among others, and at sweep=null.
    Encoders of model.checkpoint=A,B are sizes, named after their checkpoints unless model.name or run_name is given.

    Raises:
        ConfigError: a word chooses null for a group that the schema does not have, as cluster=null.
    """
    text = {*text_options(schema), *(f"hydra.launcher.{path}" for path in text_options(SCHEMAS["cluster"]))}
    spelled = []
    for word in words:
        key, _, value = word.partition("=")
        if {key.lstrip("+"), f"{key.lstrip('+').rpartition('.')[0]}.*"} & text:
            spelled.append(_quoted(word))
        elif value != "null":
            spelled.append(word)
        elif key in sections(schema):
            spelled.append(f"+{key}.{NO_CHOICE}=null")
        elif key.startswith("hydra/") or (CONF_DIR / key).is_dir():
            if key not in _WITHOUT_CHOICE:
                raise ConfigError(f"{key}: {NO_GROUP}")
        else:
            spelled.append(word)
    return [*spelled, *_names_of_sizes(spelled)]


def _names_of_sizes(words: Sequence[str]) -> list[str]:
    """The word that names each of several checkpoints by the fewest last parts of its path that tell them apart."""
    given = {key: word for word in words for key in [word.partition("=")[0]]}
    if "model.checkpoint" not in given or {"model.name", "run_name"} & given.keys():
        return []
    (choice,) = OverridesParser.create().parse_overrides([given["model.checkpoint"]])
    if not choice.is_choice_sweep():
        return []
    found = [None if word == "null" else word.strip("'\"") for word in choice.sweep_string_iterator()]
    for parts in range(1, 10):
        if len({last_parts(checkpoint, parts).casefold() for checkpoint in found}) == len(found):
            return [f"model.name='${{last_parts:${{model.checkpoint}},{parts}}}'"]
    return []


def _quoted(word: str) -> str:
    """The override with quotes around the entries of its value that are text; quoted and computed values stay."""
    key, _, value = word.partition("=")
    if re.search(r"['\"(){}$\\]", value):
        return word
    return f"{key}=" + re.sub(r"[^\s,\[\]](?:[^,\[\]]*[^\s,\[\]])?", _as_text, value)


def _as_text(found: re.Match[str]) -> str:
    entry = found[0]
    try:
        is_text = isinstance(OverridesParser.create().parse_rule(entry, "primitive"), str | None)
    except HydraException:
        is_text = False
    return entry if is_text else f"'{entry}'"
