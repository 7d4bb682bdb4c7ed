"""`GET /docs`: a page with local assets that a setting turns off."""

import base64
import hashlib
import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from orpheus_server.settings import Settings
from tests.support.app import FakeServer


@pytest.fixture
def client() -> Iterator[TestClient]:
    with FakeServer().client() as client:
        yield client


def test_all_assets_of_the_page_are_served(client: TestClient) -> None:
    page = client.get("/docs").text
    assets = re.findall(r'(?:href|src)="(.*?)"', page)
    assert assets == [
        "/swagger/swagger-ui.css",
        "/swagger/favicon-32x32.png",
        "/swagger/swagger-ui-bundle.js",
    ]
    kinds = [client.get(asset).headers["content-type"].partition(";")[0] for asset in assets]
    assert kinds == ["text/css", "image/png", "application/javascript"]
    assert '"url": "/openapi.json"' in page


def test_the_policy_allows_only_its_own_script(client: TestClient) -> None:
    answer = client.get("/docs")
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"].split("; ")
    assert f"script-src 'self' 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("name", ["__init__.py", "..%2fmain.py", "x", "../main.py"])
def test_no_other_file_of_the_package_is_served(client: TestClient, name: str) -> None:
    answer = client.get(f"/swagger/{name}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_turned_off_by_the_setting() -> None:
    with FakeServer(settings=Settings(enable_docs=False)).client() as client:
        paths = ("/docs", "/v1/docs", "/openapi.json", "/swagger/swagger-ui.css", "/redoc")
        assert [client.get(path).status_code for path in paths] == [404] * 5
        for path in ("/", "/v1"):
            assert "GET /docs" not in client.get(path).json()["endpoints"]
        assert client.get("/health").status_code == 200
