"""Origins of web pages: parsing `CORS_ORIGINS`, same-origin and local-host checks."""

import ipaddress
import re

from orpheus_server.errors import StartError

ORIGIN_NOT_LISTED = "This page may not use this server: its origin is not one of CORS_ORIGINS."

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
# No page has such an origin: all local files share one, and a page's address is never a WebSocket.
_SCHEMES_OF_NO_PAGE = {"file", "ws", "wss"}
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)(?::([0-9]{1,5}))?")


# What Docker and Podman call the machine that a container runs on. Nobody can register a name under
# `.internal`, so no web site can have one of them.
_NAMES_OF_CONTAINER_HOSTS = {"host.docker.internal", "host.containers.internal"}


def parse_origins(text: str) -> tuple[str, ...]:
    """Parses a comma-separated list of `scheme://host[:port]` into origins as browsers write them.

    Raises `StartError`.
    """
    origins = []
    for entry in (part.strip() for part in text.split(",")):
        if entry == "*":
            raise StartError(
                "CORS_ORIGINS='*': name the origins; '*' would let any web page that a user opens "
                "use this server."
            )
        origin = normal_origin(entry)
        if origin is None:
            raise StartError(
                f"CORS_ORIGINS={entry!r}: must be origins such as https://a.example, "
                "http://127.0.0.1:3000 or app://obsidian.md, without a path, separated by commas."
            )
        origins.append(origin)
    return tuple(dict.fromkeys(origins))


def normal_origin(origin: str) -> str | None:
    """Returns it in lower case without the default port, or None if it is not an origin."""
    scheme, _, authority = origin.lower().partition("://")
    if _SCHEME.fullmatch(scheme) is None or scheme in _SCHEMES_OF_NO_PAGE:
        return None
    normal = _normal_authority(authority, scheme)
    return None if normal is None else f"{scheme}://{normal}"


def is_same_origin(origin: str, host: str, *, is_secure: bool) -> bool:
    """Returns whether the page was served by the host that it now sends a request to.

    A page loaded over TLS may reach this server without TLS: a proxy in front terminates it.
    """
    scheme = origin.partition("://")[0].lower()
    own = normal_origin(origin)
    # The host of any other scheme is not an address: an app named `app://127.0.0.1` itself.
    if own is None or scheme not in _DEFAULT_PORTS or (is_secure and scheme != "https"):
        return False
    return own == normal_origin(f"{scheme}://{host}")


def is_local_host(host: str) -> bool:
    """Returns whether a `Host` header is an IP address, localhost or a container's name for this
    machine, and so not a DNS name that other people can point at it.
    """
    found = _AUTHORITY.fullmatch(host.lower())
    if found is None:
        return False
    name = found[1]
    if name == "localhost" or name.endswith(".localhost") or name in _NAMES_OF_CONTAINER_HOSTS:
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _normal_authority(authority: str, scheme: str) -> str | None:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return None
    name, port = found[1], found[3]
    if port is not None and not 1 <= int(port) <= 65_535:
        return None
    return name if port is None or port == _DEFAULT_PORTS.get(scheme) else f"{name}:{port}"
