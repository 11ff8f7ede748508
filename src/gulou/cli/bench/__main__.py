"""The load generator's process; ``gulou bench`` starts it."""

import gc

from gulou.cli.bench.generator import serve

if __name__ == "__main__":
    gc.disable()  # nothing here is circular, and a pause would be measured as the platform's
    serve()
