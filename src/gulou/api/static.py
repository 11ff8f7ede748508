"""Serves the built console: hashed assets for ever, the page itself always fresh, nothing outside its directory."""

from __future__ import annotations

import mimetypes
from email.utils import formatdate
from pathlib import Path

from anyio import to_thread
from fastapi import Request, Response
from starlette.responses import FileResponse

from gulou.kernel import NotFound

PAGES = frozenset(
    {
        "account", "accounting", "audit", "devices", "entities", "history", "incidents", "login", "map", "packs",
        "password", "performance", "rejected", "rules", "settings", "sign-in", "system", "tokens", "users", "warnings",
    }
)  # fmt: skip
"""First parts of addresses that belong to the console's own router."""

_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".pbf": "application/x-protobuf",
    ".geojson": "application/geo+json",
}


class Console:
    """The files of the console, found once at the start.

    Args:
        directory: what the build wrote; without it every page is a 404 that says so.
    """

    def __init__(self, directory: Path | None) -> None:
        self._files: dict[str, Path] = {}
        if directory is not None and directory.is_dir():
            for path in sorted(directory.rglob("*")):
                if path.is_file():
                    self._files[path.relative_to(directory).as_posix()] = path

    @property
    def is_built(self) -> bool:
        """Whether there is a page to serve."""
        return "index.html" in self._files

    async def answer(self, request: Request) -> Response:
        """Answer a GET or HEAD for a path that no route has.

        Raises:
            NotFound: ``request.not_found``, ``console.not_built``.
        """
        name = request.url.path.lstrip("/")
        if name in self._files and not name.endswith(".gz"):
            return await self._file(request, name)
        if name.split("/")[0] in PAGES or not name:
            if not self.is_built:
                raise NotFound("console.not_built")
            return await self._file(request, "index.html")
        raise NotFound("request.not_found", path=request.url.path)

    async def _file(self, request: Request, name: str) -> Response:
        path = self._files[name]
        suffix = Path(name).suffix
        headers = {"Vary": "Accept-Encoding"}
        is_hashed = name.startswith("assets/")
        headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_hashed else "no-cache"
        packed = self._files.get(f"{name}.gz")
        if packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            path = packed
        try:
            stat = await to_thread.run_sync(path.stat)
        except FileNotFoundError:  # the console has been built anew since this server's start
            raise NotFound("request.not_found", path=request.url.path) from None
        tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={**headers, "ETag": tag})
        headers |= {"ETag": tag, "Last-Modified": formatdate(stat.st_mtime, usegmt=True)}
        media_type = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return FileResponse(path, headers=headers, media_type=media_type, stat_result=stat)
