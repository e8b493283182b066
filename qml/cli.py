"""The `qml` command: it mounts every file of `qml/commands/` and turns expected errors into one line and exit code 2."""

import sys
from collections.abc import Callable

import typer

from circuits.errors import LabError
from circuits.families import member, members

INTERRUPTED = 130


def run(app: Callable[..., object]) -> None:
    """Run a Typer application as a program: 0 done, 1 failed on the way, 2 refused, 130 interrupted."""
    try:
        code = app(standalone_mode=False)
    except typer.BadParameter.__mro__[2] as error:  # Typer's usage errors, each with its own exit code
        if message := error.format_message().rstrip("."):  # empty where the help was shown instead
            where = f" (see `{error.ctx.command_path} --help`)" if getattr(error, "ctx", None) else ""
            _say(message + where)
        code = error.exit_code
    except typer.Abort:
        code = INTERRUPTED
    except LabError as error:
        _say(str(error))
        code = 2
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    except OSError as error:
        _say(f"{error.strerror}: {error.filename}" if error.filename else str(error))
        code = 2
    if code == INTERRUPTED:
        _say("interrupted: what was finished is kept, and the same command goes on from there")
    sys.exit(code if isinstance(code, int) else 0)


def _say(message: str) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr)


def application() -> typer.Typer:
    """The `qml` application with every command of `qml/commands/` mounted."""
    app = typer.Typer(
        name="qml",
        help="Train hybrid models, submit circuits to simulators, and see what this machine can do.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    for name in members("qml.commands"):
        member("qml.commands", name, "command").register(app)
    return app


def main() -> None:
    """Entry point of the `qml` console script."""
    run(application())
