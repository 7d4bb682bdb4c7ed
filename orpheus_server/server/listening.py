"""Binds the address that the server listens on, or explains why it cannot."""

import errno
import os
import socket

import psutil

from orpheus_server.errors import StartError

BACKLOG = 2048
"""Connections that wait to be accepted; uvicorn's own number."""


def check_host(host: str) -> None:
    """Raises `StartError` for a host that is neither an IP address nor a known name."""
    try:
        socket.getaddrinfo(host, None, _family_of(host), socket.SOCK_STREAM)
    # Names that are too long fail before they are looked up.
    except (OSError, UnicodeError) as error:
        raise StartError(
            f"HOST={host!r}: this name is unknown ({_reason(error)}). {_HOSTS}"
        ) from error


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket; raises `StartError` if the address cannot be used."""
    try:
        listener = socket.socket(_family_of(host), socket.SOCK_STREAM)
    except OSError as error:
        # A system without IPv6.
        raise StartError(_explanation(error, host, port)) from error
    try:
        if os.name == "posix":
            # Else the port is blocked for a minute after a server with open connections has ended.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # A second server could bind as well until this one listens.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(_explanation(error, host, port)) from error
    return listener


_HOSTS = (
    "Use 127.0.0.1 for clients on this machine, 0.0.0.0 for all addresses of this machine (with "
    "IPv6 ::1 and ::), or one of its addresses; the port is set by PORT."
)


def _family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _explanation(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"PORT={port}: {_find_holder(port)} already listens on this port. Stop it, or choose "
            "another port with PORT or --port."
        )
    if error.errno == errno.EACCES:
        return (
            f"PORT={port}: this user may not listen on it ({_reason(error)}); ports below 1024 "
            "are usually for root. Choose a higher one with PORT or --port."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"HOST={host!r}: not an address of this machine. {_HOSTS}"
    return f"HOST={host!r}, PORT={port}: cannot listen there ({_reason(error)})."


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "a part of it is empty or too long"
    return error.strerror or str(error)


def _find_holder(port: int) -> str:
    """Returns the process that listens on the port, as far as this user may see it."""
    try:
        for each in psutil.net_connections("tcp"):
            is_holder = each.status == psutil.CONN_LISTEN and each.laddr.port == port
            if is_holder and each.pid is not None:
                return f"process {each.pid} ({psutil.Process(each.pid).name()})"
    # macOS shows them to root only.
    except psutil.Error:
        pass
    return "another program, perhaps another instance of this server,"
