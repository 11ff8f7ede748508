"""Write the OpenAPI document to standard output: ``python -m gulou.api.export > console/openapi.json``."""

from __future__ import annotations

import json
import sys

from gulou.api.document import openapi_document


def exported() -> str:
    """Return the document as it is checked in: sorted by nothing but the source's own order, ending with a newline."""
    return json.dumps(openapi_document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(exported())
