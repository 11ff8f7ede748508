"""One running server for the commands of a module: starting one takes longer than most commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory, running_gulou) -> Iterator:
    """A running server, shared by the tests of a module."""
    running = running_gulou(tmp_path_factory.mktemp("city") / "data").start()
    yield running
    running.stop()


@pytest.fixture
def at(city, gulou) -> Callable[..., CompletedProcess[str]]:
    """The command line on that server's data directory."""

    def call(*arguments: object, check: bool = True) -> CompletedProcess[str]:
        return gulou(*arguments, "--data", city.data, check=check)

    return call
