"""How a command speaks with the platform: always through its API.

With a server running on the data directory the command calls that server. Without one it starts the same
application in its own process, on a free loopback port and without device endpoints, and calls that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from gulou.cli.place import Place, Running
from gulou.kernel.errors import Conflict, Denied, Fault, GulouError, Invalid, NotFound, Unavailable

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_BY_STATUS: dict[int, type[GulouError]] = {401: Denied, 403: Denied, 404: NotFound, 409: Conflict, 503: Unavailable}


class RemoteProblem(Exception):
    """An error that the server explained in a sentence of its own; shown as it is."""

    def __init__(self, problem: Mapping[str, Any], status: int) -> None:
        self.problem = problem
        self.status = status
        super().__init__(str(problem.get("detail") or problem.get("title") or f"HTTP {status}"))


class Client:
    """The API, as this user's command line."""

    def __init__(self, running: Running, language: str) -> None:
        self.running = running
        self._http = httpx.Client(
            base_url=running.url,
            headers={"Authorization": f"Bearer {running.token}", "Accept-Language": language},
            timeout=_TIMEOUT,
            trust_env=False,
            verify=False,  # noqa: S501  # loopback, to a process of the same user, found through a file of mode 0600
        )

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Call ``/api/v1`` + path and return the decoded answer; raises ``RemoteProblem`` or Unavailable."""
        try:
            answer = self._http.request(method, f"/api/v1{path}", **options)
        except httpx.TransportError as error:
            raise Unavailable("server.unreachable", url=self.running.url, detail=type(error).__name__) from None
        if answer.is_error:
            raise _problem(answer)
        return answer.json() if answer.content else None

    def ingest(self, points: list[dict[str, Any]]) -> dict[str, Any]:
        """Send readings through the HTTP adapter; returns its receipt."""
        answer = self._http.post("/ingest/v1/readings", json=points)
        if answer.is_error:
            raise _problem(answer)
        receipt: dict[str, Any] = answer.json()
        return receipt

    def stream(self, path: str, params: Mapping[str, Any]) -> Iterator[str]:
        """Yield the lines of an NDJSON answer as they come."""
        headers = {"Accept": "application/x-ndjson"}
        with self._http.stream("GET", f"/api/v1{path}", params=dict(params), headers=headers) as answer:
            if answer.is_error:
                answer.read()
                raise _problem(answer)
            yield from answer.iter_lines()

    def download(self, path: str) -> Iterator[str]:
        """Yield a text answer, in parts as they come."""
        with self._http.stream("GET", f"/api/v1{path}") as answer:
            if answer.is_error:
                answer.read()
                raise _problem(answer)
            yield from answer.iter_text()

    def pages(self, path: str, params: Mapping[str, Any], most: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the items of a paged list, at most ``most``."""
        query = {key: value for key, value in params.items() if value is not None}
        left = most
        while left is None or left > 0:
            query["limit"] = min(500, left) if left else 500
            page = self.call("GET", path, params=query)
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            if not page.get("next") or not page["items"]:
                return
            query["cursor"] = page["next"]

    def close(self) -> None:
        """Release the connections."""
        self._http.close()


@contextmanager
def connected(place: Place, language: str = "en") -> Iterator[Client]:
    """Open a client on the running server, or on one made for this command alone."""
    running = place.running()
    if running is not None:
        client = Client(running, language)
        try:
            yield client
        finally:
            client.close()
        return
    from gulou.cli.serve import Server  # the whole platform: only where no server runs

    with Server(place, listen=False) as server:
        client = Client(server.running, language)
        try:
            yield client
        finally:
            client.close()


def _problem(answer: httpx.Response) -> Exception:
    try:
        problem = answer.json()
    except ValueError:
        kind = _BY_STATUS.get(answer.status_code, Invalid if answer.status_code < 500 else Fault)
        return kind("server.answered", status=answer.status_code, detail=answer.text[:200])
    return RemoteProblem(problem, answer.status_code)
