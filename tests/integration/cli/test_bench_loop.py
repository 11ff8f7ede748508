"""The benchmark against a whole platform, as short as it gets."""

import pytest

from gulou.cli.bench import LoopPlan, measure_loop

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.parametrize("single", [False, True])
def test_the_loop_is_closed_and_nothing_is_lost(single):
    plan = LoopPlan(
        gateways=2,
        single=single,
        series=30,
        probes=10,
        rules=30,
        probes_per_s=5,
        rate_per_s=100,
        runs=1,
        run_s=3,
        limit_ms=60_000,
    )
    lines = []

    report, is_good = measure_loop(plan, lines.append)

    assert is_good
    assert report.median["lost"] == 0
    assert report.median["commands"] == report.median["probes"] > 5
    assert report.median["loop_ms"]["p50"] > 0
    assert len(lines) >= 4  # preparing, warming up, settling, the run
