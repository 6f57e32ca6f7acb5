"""The house and an HTTP client for the web tests."""

import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

sys.path.insert(0, str(Path(__file__).parent))

from web_house import PASSWORD, House  # noqa: E402

from sipconf.web.app import build_app  # noqa: E402


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


@pytest.fixture
async def client(house):
    """Asks with the right password."""
    headers = {"Authorization": f"Bearer {PASSWORD}"}
    async with TestClient(TestServer(build_app(house)), headers=headers) as client:
        yield client
