"""The lines that whole calls are made over: a clean one, and bad ones by seed."""

from typing import Any

import pytest

from tests.sim.house import ROUGH_RTP, ROUGH_SIP

SEEDS = (11, 12, 13)


@pytest.fixture(params=("clean", *SEEDS), ids=str)
def line(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a House is told of its line."""
    if request.param == "clean":
        return {}
    return {"seed": request.param, "sip": ROUGH_SIP, "rtp": ROUGH_RTP}
