"""The load generator's process; ``gulou bench`` starts it."""

import uvloop

from gulou.cli.bench.generator import serve

if __name__ == "__main__":
    uvloop.run(serve())
