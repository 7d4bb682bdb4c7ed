"""The console script `orpheus-server`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from orpheus_server import __version__
from orpheus_server.errors import StartError

if TYPE_CHECKING:
    from orpheus_server.settings import Settings

# Not `__name__`: with `python -m` that is `__main__`, whose log lines are not configured.
logger = logging.getLogger("orpheus_server.cli")

INTERRUPTED = 130
"""The exit status that shells give a program that Ctrl-C has ended."""


SETTINGS_HELP = """\
Settings are environment variables, or lines of .env in the working directory:
  TTS_MODEL_NAME  checkpoint (default: English Orpheus with a CUDA GPU, else
                  pocket, the bundled voice)
  TTS_ENGINE      vllm, transformers or completions (default: vllm if installed)
  LLM_MODEL_NAME  language model of the chat routes (default: none)
  API_KEYS        keys of callers (default: none, only this machine is served)
.env.sample and docs/settings.md list every setting with its default."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    try:
        return _run(arguments)
    except StartError as error:
        print(f"orpheus-server: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: Sequence[str] | None) -> int:
    # Here and below, imports are not at the top because together they take seconds, and Ctrl-C
    # meanwhile would print a traceback.
    from orpheus_server.bench import command as bench_command
    from orpheus_server.settings import Settings, load_settings

    parser = argparse.ArgumentParser(prog="orpheus-server", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve_parser = commands.add_parser(
        "serve",
        help="start the HTTP server",
        epilog=SETTINGS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, meaning in (("host", "address"), ("port", "port")):
        default = Settings.model_fields[name].default
        text = f"{meaning} to listen on (setting {name.upper()}, default {default})"
        serve_parser.add_argument(f"--{name}", help=text)
    bench_command.add_arguments(
        commands.add_parser("bench", help="measure a running server, or a part without one")
    )
    parsed = parser.parse_args(arguments)
    if parsed.command == "bench":
        return bench_command.run(parsed)
    overrides = {"host": parsed.host, "port": parsed.port}
    return serve(load_settings(**{key: value for key, value in overrides.items() if value}))


def serve(settings: "Settings") -> int:
    """Serves until Ctrl-C or SIGTERM; returns 0, or 1 if it could not start or lost its engine.

    Raises `StartError` only before anything is loaded. Ends the process itself where the threads
    that load the model would keep it for the rest of a minute.
    """
    from orpheus_server.app import create_app
    from orpheus_server.engine.processes import kill_children
    from orpheus_server.runtime.startup import open_runtime
    from orpheus_server.server.listening import check_host, listen
    from orpheus_server.server.logs import configure_logging
    from orpheus_server.server.uvicorn_config import check_address, server_config, server_url
    from orpheus_server.server.uvicorn_server import GracefulServer, run_until_stopped
    from orpheus_server.settings import warnings_for

    configure_logging(settings, warnings=warnings_for(settings))
    check_host(settings.host)
    check_address(settings)

    def stop() -> None:
        server.should_exit = True

    def begin_drain() -> None:
        app.state.runtime.begin_drain()

    def has_failed() -> bool:
        runtime = getattr(app.state, "runtime", None)
        return runtime is not None and runtime.start_error is not None

    def abandon() -> None:
        logger.info("ending what is still loading or closing")
        kill_children()
        logging.shutdown()
        os._exit(1 if has_failed() else 0)

    opener = partial(open_runtime, on_start_failure=stop, abandon=abandon, url=server_url(settings))
    app = create_app(settings, open_runtime=opener)
    config = server_config(app, settings, port=settings.port)
    server = GracefulServer(
        config, begin_drain=begin_drain, drain_sec=settings.tts_drain_sec, abandon=abandon
    )
    # Before anything is loaded: a port that is in use ends the start at once.
    with listen(settings.host, settings.port) as listener:
        run_until_stopped(server, [listener])
    return 0 if server.started and not has_failed() else 1


if __name__ == "__main__":
    sys.exit(main())
