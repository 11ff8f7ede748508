import pytest

from gulou.api.guards import PUBLIC


def test_the_page_is_always_fresh_and_its_assets_are_kept_for_ever(city):
    page = city.client.get("/")
    assert page.text.startswith("<!doctype html>")
    assert page.headers["Cache-Control"] == "no-cache"
    asset = city.client.get("/assets/app-1a2b.js", headers={"Accept-Encoding": "identity"})
    assert asset.headers["content-type"].startswith("text/javascript")
    assert "immutable" in asset.headers["Cache-Control"]


def test_assets_come_packed_to_who_takes_it(city):
    answer = city.client.build_request("GET", "/assets/app-1a2b.js", headers={"Accept-Encoding": "br, gzip"})
    response = city.client.send(answer, stream=True)
    assert response.headers["Content-Encoding"] == "gzip"
    assert b"".join(response.iter_raw()) == b"\x1f\x8bpacked"
    assert response.headers["Vary"] == "Accept-Encoding"


def test_an_unchanged_file_is_not_sent_again(city):
    tag = city.client.get("/").headers["ETag"]
    assert city.client.get("/", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("path", ["/map", "/devices/pump-1", "/incidents/inc-1", "/sign-in", "/accounting"])
def test_the_consoles_own_addresses_lead_to_the_page(city, path):
    assert city.client.get(path).text.startswith("<!doctype html>")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing", "/assets/none.js", "/assets/", "/..%2frecords.db", "/%2e%2e/records.db",
        "/assets/%2e%2e/%2e%2e/records.db", "/assets/..%5c..%5crecords.db", "/assets/app-1a2b.js.gz", "/.env",
        "/favicon.ico",
    ],
)  # fmt: skip
def test_everything_else_is_a_404(city, path):
    answer = city.client.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "request.not_found"


def test_every_answer_carries_the_security_headers(city):
    for path in ("/", "/nothing", "/api/v1/health/live", "/api/v1/users", "/metrics"):
        headers = city.client.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "http" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_nothing_of_the_api_is_kept_by_caches(city):
    city.sign_in()
    for path in ("/api/v1/session", "/api/v1/users", "/api/v1/health/live", "/api/v1/none"):
        assert city.client.get(path).headers["Cache-Control"] == "no-store"


def test_pages_are_not_changed_by_post(city):
    assert city.client.post("/").status_code == 405


def test_health_is_public_and_says_little(city):
    assert ("GET", "/api/v1/health/ready") in PUBLIC
    assert city.client.get("/api/v1/health/live").json() == {"status": "ok", "parts": {}}
    assert city.client.get("/api/v1/health/ready").json() == {"status": "ok", "parts": {"intake": "running"}}
    city.services.intake.stop()
    stopped = city.client.get("/api/v1/health/ready")
    assert (stopped.status_code, stopped.json()["parts"]) == (503, {"intake": "stopped"})
