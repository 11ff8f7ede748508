"""``python -m gulou`` is the ``gulou`` command."""

from gulou.cli import main

main()
