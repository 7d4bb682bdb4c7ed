"""The arguments of `orpheus-server bench`, and which benchmark they ask for.

The benchmarks are imported when they run: `serve` needs none of them, nor their libraries.
"""

import argparse

from orpheus_server.bench.argument_types import (
    burst,
    count,
    count_or_zero,
    list_of,
    minutes,
    output_file,
    seconds,
    text_length,
    url,
)
from orpheus_server.bench.client.texts import LENGTHS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For the subcommand's parser."""
    parser.description = (
        "Measures a running server (URL), or a part of this one by itself (--codec, --frontend). "
        "The last line of stdout is one JSON document."
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("url", nargs="?", type=url, metavar="URL", help="such as http://host:8880")
    target.add_argument("--codec", action="store_true", help="the codec alone; needs no server")
    target.add_argument(
        "--frontend", action="store_true", help="all but engine and codec; needs no server"
    )
    parser.add_argument(
        "--rounds", type=count, default=3, help="rounds, of which the median counts (3)"
    )
    parser.add_argument("--json", type=output_file, metavar="FILE", help="a copy of the document")
    _add_sweep(parser.add_argument_group("load on a server"))
    _add_modes(parser.add_argument_group("instead of levels"))
    _add_requests(parser.add_argument_group("requests to a server"))


def run(parsed: argparse.Namespace) -> int:
    """The exit status of the benchmark that was asked for."""
    if parsed.codec:
        from orpheus_server.bench.offline import codec

        return codec.run(parsed)
    if parsed.frontend:
        from orpheus_server.bench.offline import frontend

        return frontend.run(parsed)
    if parsed.soak is not None:
        from orpheus_server.bench.soak import command as soak

        return soak.run(parsed)
    if parsed.chat:
        from orpheus_server.bench.chat import command as chat

        return chat.run(parsed)
    if parsed.overload:
        from orpheus_server.bench.overload import command as overload

        return overload.run(parsed)
    from orpheus_server.bench.speech import command as speech

    return speech.run(parsed)


def _add_sweep(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--concurrency",
        type=list_of(count),
        default=(1, 2, 4, 8, 16),
        metavar="N,N",
        help="users at once, each asking again when the last answer has ended (1,2,4,8,16)",
    )
    group.add_argument(
        "--texts",
        type=list_of(text_length),
        default=LENGTHS,
        metavar="KIND,KIND",
        help="short (3 s), medium (10 s), long (60 s); all by default",
    )
    end = group.add_mutually_exclusive_group()
    end.add_argument(
        "--requests", type=count, metavar="N", help="of each level (two a user, at least 8)"
    )
    end.add_argument(
        "--duration-sec", type=seconds, metavar="S", help="of each level, instead of a number"
    )
    group.add_argument(
        "--stagger-sec", type=seconds, default=0.0, metavar="S", help="between users' starts (0)"
    )
    group.add_argument(
        "--realtime-readers",
        action="store_true",
        help="users listen: they read as it plays, one second ahead, and to the end before they "
        "ask again; the real-time factor then nears 1",
    )


def _add_modes(group: argparse._ArgumentGroup) -> None:
    mode = group.add_mutually_exclusive_group()
    mode.add_argument(
        "--burst",
        type=burst,
        metavar="N,SENTENCES",
        help="N users in the same instant with so many sentences each",
    )
    mode.add_argument(
        "--soak",
        type=minutes,
        metavar="MINUTES",
        help="mixed load with callers who hang up, read slowly or send nonsense; every answer is "
        "checked, and a leak or a failure ends with 1",
    )
    mode.add_argument(
        "--overload",
        action="store_true",
        help="half, all and twice as many users as the server carries, each with a player",
    )
    mode.add_argument(
        "--chat",
        action="store_true",
        help="messages to the language model: first text, first sound, last text",
    )
    group.add_argument(
        "--max-tokens", type=count, default=128, metavar="N", help="of an answer of chat (128)"
    )
    group.add_argument("--repeats", type=count, default=10, metavar="N", help="of the burst (10)")
    group.add_argument(
        "--users", type=count, metavar="N", help="of the soak (as many as the server carries)"
    )
    group.add_argument(
        "--no-leak-check", action="store_true", help="soak a server whose /metrics are closed"
    )
    group.add_argument(
        "--max-input-chars",
        type=count_or_zero,
        default=32_768,
        metavar="N",
        help="of the soaked server; longer texts must be refused. 0: it has no limit (32768)",
    )
    group.add_argument(
        "--capacity", type=count, metavar="N", help="of the overload (what /metrics tells)"
    )
    group.add_argument(
        "--round-sec",
        type=seconds,
        default=30.0,
        metavar="S",
        help="of each number of users of the overload, after they have come (30)",
    )


def _add_requests(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", default="tts-1", help="(tts-1)")
    group.add_argument("--voice", default="alloy", help="(alloy)")
    group.add_argument(
        "--seed", type=int, default=1, help="of the first request, counted up; each round again (1)"
    )
    group.add_argument(
        "--warmup", type=count_or_zero, default=2, metavar="N", help="requests before (2)"
    )
    group.add_argument(
        "--timeout-sec", type=seconds, default=300.0, metavar="S", help="of a whole request (300)"
    )
    group.add_argument("--api-key", metavar="KEY", help="sent as a bearer token")
    group.add_argument(
        "--no-stream", action="store_true", help="do not ask for streaming: whole files"
    )
