"""The ``kinfold`` command: thin, and quick to answer.

Nothing heavy is imported before a command needs it: ``kinfold --help`` answers in a fraction of a second. Commands
parse, call one function of the library, and end by naming what they wrote and what to type next. `main` is the one
place where an exception becomes a sentence on stderr and an exit code: 0 success, 2 usage, 1 failure.
"""

from __future__ import annotations

import os
import shlex
import sys

import typer

from kinfold import launch
from kinfold.cli import naming, runs, scale  # the commands, which give themselves to the application
from kinfold.cli.shared import app
from kinfold.phrases import one_line

__all__ = ["app", "main", "naming", "runs", "scale"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 success, 2 usage, 1 failure."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name that is not valid text must not end the run
            stream.reconfigure(errors="backslashreplace")
    launch.stop_on_terminate()
    try:
        code = app(args=arguments, prog_name="kinfold", standalone_mode=False, obj={"arguments": arguments})
        sys.stdout.flush()
    except BrokenPipeError:  # `kinfold ... | head` has read enough; the work was done before the last words
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail(_stopped(arguments), arguments)
    except Exception as error:
        return _fail_by(error, arguments)
    if code == 130:  # what newer typer makes of Ctrl-C
        return _fail(_stopped(arguments), arguments)
    return int(code or 0)


def _fail_by(error: Exception, arguments: list[str]) -> int:
    """Turn an exception into one sentence and an exit code."""
    if hasattr(error, "format_message"):  # every usage error of typer
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "kinfold"
        print(f"{error.format_message()}\nTry '{command} --help'.", file=sys.stderr)
        return 2
    from kinfold.errors import KinfoldError

    if type(error).__name__ in ("Interrupted", "PartnerLost"):
        return _fail(f"{error} {_stopped(arguments)}", arguments)
    if isinstance(error, KinfoldError):
        return _fail(str(error), arguments)
    if isinstance(error, MemoryError):
        return _fail("The machine ran out of memory; use fewer or smaller images (--image-size).", arguments)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}.", arguments)
    return _fail(f"Unexpected {type(error).__name__}: {error} (--verbose shows where).", arguments)


def _fail(sentence: str, arguments: list[str]) -> int:
    """Say one sentence on stderr, or to the process that started this one."""
    if "--verbose" in arguments:
        import traceback

        traceback.print_exc()
    if not launch.tell_parent(sentence):
        print(one_line(sentence), file=sys.stderr)
    return 1


def _stopped(arguments: list[str]) -> str:
    """What to type after Ctrl-C."""
    again = shlex.join(["kinfold", *arguments, *(["--resume"] if "--resume" not in arguments else [])])
    return f"Stopped. Go on with: {again}" if arguments[:1] in (["cluster"], ["embed"]) else "Stopped."
