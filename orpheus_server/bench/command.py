"""The arguments of `orpheus-server bench`, and the benchmark that they select.

Benchmarks are imported when they run: `serve` needs neither them nor their libraries.
"""

import argparse
import sys

from orpheus_server.bench.argument_types import (
    burst,
    count,
    count_or_zero,
    list_of,
    minutes,
    output_file,
    rate,
    seconds,
    text_length,
    url,
)
from orpheus_server.bench.client.texts import LENGTHS
from orpheus_server.bench.option_conflicts import conflict_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments to the subcommand's parser."""
    parser.description = (
        "Measures a running server (URL), or one part without a server (--codec, --frontend). "
        "The last line of stdout is one JSON document."
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("url", nargs="?", type=url, metavar="URL", help="such as http://host:8880")
    target.add_argument(
        "--codec", action="store_true", help="measure the codec alone; needs no server"
    )
    target.add_argument(
        "--frontend",
        action="store_true",
        help="measure everything but engine and codec; needs no server",
    )
    parser.add_argument(
        "--rounds", type=count, default=3, help="number of rounds; medians are reported (3)"
    )
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="write the JSON document to this file too"
    )
    _add_sweep(parser.add_argument_group("load on a server"))
    _add_modes(parser.add_argument_group("modes instead of levels"))
    _add_requests(parser.add_argument_group("requests to a server"))
    _add_peer(parser.add_argument_group("comparison with another server"))


def run(parsed: argparse.Namespace) -> int:
    """Runs the selected benchmark; returns its exit status, 2 for options that conflict."""
    conflict = conflict_of(parsed)
    if conflict is not None:
        print(f"orpheus-server bench: error: {conflict}", file=sys.stderr)
        return 2
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
    level = group.add_mutually_exclusive_group()
    level.add_argument(
        "--concurrency",
        type=list_of(count),
        default=(1, 2, 4, 8, 16),
        metavar="N,N",
        help="concurrent users; each sends a request when its last response ends (1,2,4,8,16)",
    )
    level.add_argument(
        "--rate",
        type=list_of(rate),
        metavar="R,R",
        help="requests a second instead of users: they arrive at random (Poisson) times that "
        "--seed determines, whether or not earlier ones have ended",
    )
    group.add_argument(
        "--texts",
        type=list_of(text_length),
        default=LENGTHS,
        metavar="KIND,KIND",
        help="lengths: short (3 s), medium (10 s), long (60 s); all by default",
    )
    end = group.add_mutually_exclusive_group()
    end.add_argument(
        "--requests",
        type=count,
        metavar="N",
        help="requests per level (two per user, or those of 30 s at --rate; at least 8)",
    )
    end.add_argument(
        "--duration-sec",
        type=seconds,
        metavar="S",
        help="duration of each level, instead of --requests",
    )
    group.add_argument(
        "--stagger-sec",
        type=seconds,
        default=0.0,
        metavar="S",
        help="time between users' starts (0)",
    )
    group.add_argument(
        "--realtime-readers",
        action="store_true",
        help="users listen: they read at most one second ahead of playback and play to the end "
        "before their next request; the real-time factor then approaches 1",
    )


def _add_modes(group: argparse._ArgumentGroup) -> None:
    mode = group.add_mutually_exclusive_group()
    mode.add_argument(
        "--burst",
        type=burst,
        metavar="N,SENTENCES",
        help="N users who start at the same instant, with this many sentences each",
    )
    mode.add_argument(
        "--soak",
        type=minutes,
        metavar="MINUTES",
        help="mixed load with users who hang up, read slowly or send invalid requests; every "
        "response is checked, and a leak or a failure exits with 1",
    )
    mode.add_argument(
        "--overload",
        action="store_true",
        help="users for half, all and twice the server's capacity, each with a player",
    )
    mode.add_argument(
        "--chat",
        action="store_true",
        help="messages to the language model: times of first text, first audio and last text",
    )
    group.add_argument(
        "--max-tokens", type=count, default=128, metavar="N", help="limit of a chat reply (128)"
    )
    group.add_argument(
        "--repeats", type=count, default=10, metavar="N", help="number of bursts (10)"
    )
    group.add_argument(
        "--users", type=count, metavar="N", help="users of the soak (the server's capacity)"
    )
    group.add_argument(
        "--no-leak-check", action="store_true", help="soak a server without /metrics"
    )
    group.add_argument(
        "--max-input-chars",
        type=count_or_zero,
        default=32_768,
        metavar="N",
        help="limit of the soaked server, above which it must refuse; 0 for no limit (32768)",
    )
    group.add_argument(
        "--capacity", type=count, metavar="N", help="capacity for --overload (from /metrics)"
    )
    group.add_argument(
        "--round-sec",
        type=seconds,
        default=30.0,
        metavar="S",
        help="duration of each round of --overload, after all users have arrived (30)",
    )


def _add_requests(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", default="tts-1", help="model to request (tts-1)")
    group.add_argument("--voice", default="alloy", help="voice to request (alloy)")
    group.add_argument(
        "--seed", type=int, default=1, help="seed of the first request; each further one adds 1 (1)"
    )
    group.add_argument(
        "--warmup", type=count_or_zero, default=2, metavar="N", help="warm-up requests (2)"
    )
    group.add_argument(
        "--timeout-sec",
        type=seconds,
        default=300.0,
        metavar="S",
        help="timeout of a whole request (300)",
    )
    group.add_argument("--api-key", metavar="KEY", help="sent as a bearer token")
    group.add_argument(
        "--no-stream", action="store_true", help="request whole files instead of streams"
    )


def _add_peer(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--peer",
        type=url,
        metavar="URL",
        help="a second server with OpenAI's speech API and 24 kHz pcm, which gets the same texts, "
        "seeds and times in turn with the first; ratios peer/own are reported. With levels, "
        "--rate and --burst",
    )
    group.add_argument("--peer-model", metavar="MODEL", help="model of the peer (--model)")
    group.add_argument("--peer-voice", metavar="VOICE", help="voice of the peer (--voice)")
    group.add_argument(
        "--peer-api-key", metavar="KEY", help="API key of the peer (--api-key); empty for none"
    )
