"""Finding adapters: folders with a manifest, and entry points. There is no central list."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel

from gulou.kernel.errors import Conflict, GulouError, Invalid
from gulou.kernel.settings import load_settings
from gulou.sensing.sdk.adapter import Adapter, AdapterContext
from gulou.sensing.sdk.manifest import FILE_NAME, Manifest, load_manifest

ENTRY_POINT_GROUP = "gulou.adapters"
BUILT_IN = Path(__file__).parent.parent / "adapters"


class FoundAdapter(msgspec.Struct, frozen=True):
    """An adapter that is there, not yet made.

    Args:
        package: import name of its folder.
    """

    manifest: Manifest
    folder: Path
    package: str

    def settings(self, file: Path | None, env: Mapping[str, str]) -> BaseModel | None:
        """Load its settings: section ``[adapter-<name>]``, variables ``GULOU_ADAPTER_<NAME>_<FIELD>``."""
        if self.manifest.settings is None:
            return None
        return load_settings(self.settings_class(), section_of(self.manifest.name), file, env)

    def settings_class(self) -> type[BaseModel]:
        """Return the class of its settings. Raises Invalid ``adapter.entry_missing``."""
        made = self._named(self.manifest.settings or "")
        if not (isinstance(made, type) and issubclass(made, BaseModel)):
            raise Invalid(
                "adapter.entry_missing",
                adapter=self.manifest.name,
                entry=self.manifest.settings,
                detail="no settings class",
            )
        return made

    def make(self, settings: BaseModel | None, context: AdapterContext) -> Adapter:
        """Make it, not yet started.

        Raises:
            Invalid: ``adapter.entry_missing`` or ``adapter.entry_broken``: its code is not what the manifest says.
        """
        create = self._named(self.manifest.entry)
        if not callable(create):
            entry = self.manifest.entry
            raise Invalid("adapter.entry_missing", adapter=self.manifest.name, entry=entry, detail="no function")
        made = create(settings, context)
        if not isinstance(made, Adapter):
            raise Invalid("adapter.entry_broken", adapter=self.manifest.name, entry=self.manifest.entry)
        return made

    def _named(self, text: str) -> Any:
        module_name, _, name = text.partition(":")
        full = f"{self.package}{module_name}" if module_name.startswith(".") else module_name
        try:
            return getattr(importlib.import_module(full), name)
        except (ImportError, AttributeError) as error:
            raise Invalid("adapter.entry_missing", adapter=self.manifest.name, entry=text, detail=str(error)) from error


def section_of(name: str) -> str:
    """Return the name of an adapter's section in ``city.toml``."""
    return f"adapter-{name}"


def find_adapters(user_folders: Iterable[Path] = ()) -> list[FoundAdapter]:
    """Find every adapter: built in, of other installed packages, and in the folders given (``<data>/adapters``).

    Raises:
        Invalid: a manifest is broken.
        Conflict: ``adapter.name_taken``.
    """
    found: dict[str, FoundAdapter] = {}
    candidates = [_built_in(folder) for folder in _folders(BUILT_IN)]
    candidates += [_installed(point.value) for point in entry_points(group=ENTRY_POINT_GROUP)]
    candidates += [load_adapter(folder) for parent in user_folders for folder in _folders(parent)]
    for one in candidates:
        other = found.get(one.manifest.name)
        if other is not None and other.folder != one.folder:
            raise Conflict(
                "adapter.name_taken", name=one.manifest.name, first=str(other.folder), second=str(one.folder)
            )
        found[one.manifest.name] = one
    return [found[name] for name in sorted(found)]


def load_adapter(folder: Path) -> FoundAdapter:
    """Make one folder outside of the installed packages importable, under ``gulou_adapters.<name>``.

    Raises:
        Invalid: the manifest is broken, or ``adapter.no_package``: the folder has no ``__init__.py``.
    """
    manifest = load_manifest(folder / FILE_NAME)
    package = f"gulou_adapter_{manifest.name.replace('-', '_')}_{abs(hash(os.fspath(folder.resolve()))):x}"
    if package not in sys.modules:
        start = folder / "__init__.py"
        spec = importlib.util.spec_from_file_location(package, start, submodule_search_locations=[str(folder)])
        if not start.is_file() or spec is None or spec.loader is None:
            raise Invalid("adapter.no_package", folder=str(folder))
        module = importlib.util.module_from_spec(spec)
        sys.modules[package] = module
        try:
            spec.loader.exec_module(module)
        except (ImportError, SyntaxError, NameError, GulouError) as error:
            del sys.modules[package]
            raise Invalid(
                "adapter.entry_missing", adapter=manifest.name, entry="__init__", detail=str(error)
            ) from error
    return FoundAdapter(manifest, folder, package)


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if (path / FILE_NAME).is_file())


def _built_in(folder: Path) -> FoundAdapter:
    return FoundAdapter(load_manifest(folder / FILE_NAME), folder, f"gulou.sensing.adapters.{folder.name}")


def _installed(package: str) -> FoundAdapter:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Invalid("adapter.no_package", folder=package)
    folder = Path(spec.origin).parent
    return FoundAdapter(load_manifest(folder / FILE_NAME), folder, package)
