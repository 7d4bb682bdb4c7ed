"""The address that the server listens on, and the messages where it cannot."""

import errno
import os
import re
import socket

import psutil
import pytest

from orpheus_server.errors import StartError
from orpheus_server.server.listening import check_host, listen


def message_of(host: str, port: int) -> str:
    with pytest.raises(StartError) as caught:
        listen(host, port).close()
    return str(caught.value)


def fail_to_bind(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    class Failing(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "socket", Failing)


class TestListen:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
    def test_clients_can_connect_at_once(self, host: str) -> None:
        try:
            listener = listen(host, 0)
        except StartError:
            assert host == "::1"  # a machine without IPv6
            pytest.skip("no IPv6")
        with listener, socket.create_connection(listener.getsockname()[:2]) as client:
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getpeername() == client.getsockname()

    def test_children_do_not_inherit_the_port(self) -> None:
        with listen("127.0.0.1", 0) as listener:
            assert not listener.get_inheritable()

    def test_a_port_in_use_names_the_port_and_its_holder(self) -> None:
        """The message was "[Errno 98] Address already in use"."""
        with listen("127.0.0.1", 0) as first:
            port = first.getsockname()[1]
            text = message_of("127.0.0.1", port)
        own = f"process {os.getpid()} ({psutil.Process().name()})"
        assert text == (
            f"PORT={port}: {own} already listens on this port. Stop it, or choose another port "
            "with PORT or --port."
        )

    def test_a_holder_that_this_user_may_not_see(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(kind: str) -> list[object]:
            raise psutil.AccessDenied

        monkeypatch.setattr(psutil, "net_connections", refuse)
        with listen("127.0.0.1", 0) as first:
            port = first.getsockname()[1]
            text = message_of("127.0.0.1", port)
        assert text.startswith(
            f"PORT={port}: another program, perhaps another instance of this server, already "
            "listens on this port."
        )

    def test_a_privileged_port(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fail_to_bind(monkeypatch, errno.EACCES)
        assert message_of("127.0.0.1", 80) == (
            "PORT=80: this user may not listen on it (Permission denied); ports below 1024 are "
            "usually for root. Choose a higher one with PORT or --port."
        )

    def test_an_address_of_another_machine(self) -> None:
        assert message_of("203.0.113.7", 0).startswith(
            "HOST='203.0.113.7': not an address of this machine. Use 127.0.0.1 for clients on this "
            "machine, 0.0.0.0 for all"
        )

    def test_a_system_without_ipv6(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*arguments: object) -> socket.socket:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

        monkeypatch.setattr(socket, "socket", refuse)
        assert message_of("::1", 8880) == (
            "HOST='::1', PORT=8880: cannot listen there (Address family not supported by protocol)."
        )

    def test_any_other_failure_names_the_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fail_to_bind(monkeypatch, errno.EAFNOSUPPORT)
        assert message_of("::1", 8880) == (
            f"HOST='::1', PORT=8880: cannot listen there ({os.strerror(errno.EAFNOSUPPORT)})."
        )


class TestCheckHost:
    @pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost"])
    def test_addresses_and_known_names(self, host: str) -> None:
        check_host(host)

    @pytest.mark.parametrize(
        "host", ["http://127.0.0.1", "127.0.0.1:9000", "[::1]", "127.0.0.1 ", "a..b", "ü" * 70]
    )
    def test_what_is_no_host(self, host: str) -> None:
        """The message was "[Errno -2] Name or service not known", without the name."""
        with pytest.raises(
            StartError, match=f"^HOST={re.escape(repr(host))}: this name is unknown"
        ):
            check_host(host)

    def test_a_name_that_cannot_be_looked_up(self) -> None:
        with pytest.raises(StartError, match=r"unknown \(a part of it is empty or too long\)"):
            check_host("a..b")

    def test_an_unknown_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def look_up(*arguments: object) -> list[object]:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        with pytest.raises(StartError) as caught:
            check_host("nosuchhost")
        assert str(caught.value).startswith(
            "HOST='nosuchhost': this name is unknown (Name or service not known). Use 127.0.0.1 "
        )
