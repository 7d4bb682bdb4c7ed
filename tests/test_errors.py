"""The tree in the docstring matches the classes."""

import re

import orpheus_server.errors
from orpheus_server.errors import OrpheusError, RequestError, UnknownModel


def drawn_tree() -> dict[str, str]:
    """Returns the base of each class in the docstring's tree."""
    path: list[str] = []
    parents: dict[str, str] = {}
    for line in (orpheus_server.errors.__doc__ or "").splitlines():
        found = re.match(r"([│ ]*)(?:[├└]── )(\w+) +\S", line)
        if line == "OrpheusError":
            path = [line]
        elif found:
            depth = len(found[1]) // 4 + 1
            path[depth:] = [found[2]]
            parents[found[2]] = path[depth - 1]
    return parents


def real_tree(base: type[OrpheusError]) -> dict[str, str]:
    tree: dict[str, str] = {}
    for kind in base.__subclasses__():
        if kind.__module__.startswith("orpheus_server"):
            tree |= {kind.__name__: base.__name__, **real_tree(kind)}
    return tree


def test_the_docstring_matches_the_classes() -> None:
    assert drawn_tree() == real_tree(OrpheusError)
    assert len(drawn_tree()) == 22


def test_every_class_has_a_docstring() -> None:
    for name in (*drawn_tree(), "OrpheusError"):
        assert getattr(orpheus_server.errors, name).__doc__


def test_a_request_error_has_param_and_code() -> None:
    error = UnknownModel("no 'x'", param="model", code="model_not_found")
    assert isinstance(error, RequestError)
    assert (str(error), error.param, error.code) == ("no 'x'", "model", "model_not_found")
