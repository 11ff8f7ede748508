"""The command line: one entry point (``app.py``), and the one place that builds things (``wire.py``)."""


def main() -> None:
    """Run the ``gulou`` command."""
    from gulou.cli.app import main as run  # every command's imports: only when it is really run

    run()


__all__ = ["main"]
