"""The built-in adapters: one folder, one manifest, one protocol each; found by ``sdk.find_adapters``, named nowhere."""

__all__: list[str] = []
