"""A mistyped name is an error with a mend, never an empty answer."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["query", "WaterLevelObservd", "--now"], "vocabulary.type_unknown"),
        (["query", "WaterLevelObserved", "--property", "waterlevl"], "cli.property_unknown"),
        (["devices", "show", "../users"], "request.not_found"),
    ],
)
def test_a_mistyped_name_is_refused(at, arguments, code):
    done = at(*arguments, "--json", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert code in done.stderr
