import json
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from gulou.access import ACTIONS, Permission, Principal
from gulou.api.document import openapi_document
from gulou.api.export import exported
from gulou.api.guards import PUBLIC
from gulou.api.routes import area_routers

REPOSITORY = Path(__file__).parents[3]
DOCUMENT = openapi_document()
OPERATIONS = sorted((method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods)
OWN_AFFAIRS = {
    "getSession", "signOut", "changePassword", "getVocabulary", "getEntityType", "getEntityTypeSchema", "getBaseMap",
}  # fmt: skip


@pytest.fixture(scope="module")
def nobody(shared_city):
    """A program whose permissions reach nowhere."""
    root = Principal.system("test")
    _, secret = shared_city.services.access.create_token(
        root, "nobody", [Permission(action, frozenset()) for action in ACTIONS]
    )
    client = shared_city.client_from()
    client.headers["Authorization"] = f"Bearer {secret}"
    return client


def filled(path: str) -> str:
    return "/".join("1" if part.startswith("{") else part for part in path.split("/"))


@pytest.mark.parametrize(("method", "path"), [one for one in OPERATIONS if one not in PUBLIC])
def test_every_route_wants_to_know_who_asks(shared_city, method, path):
    answer = shared_city.client_from().request(method, filled(path))
    assert (answer.status_code, answer.json()["code"]) == (401, "access.unauthenticated")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "WWW-Authenticate" in answer.headers


def test_the_public_routes_are_these_and_no_others():
    assert {path for _method, path in PUBLIC} == {
        "/api/v1/session",
        "/api/v1/health/live",
        "/api/v1/health/ready",
    }
    assert set(OPERATIONS) >= PUBLIC


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/v1", "/api/v1/nothing", "/api/v2/devices", "/api/v1/openapi.json"]
)
def test_what_does_not_exist_below_the_api_is_not_told_to_strangers(city, path):
    assert city.client.get(path).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1//devices",
        "/API/v1/devices",
        "/api/v1/devices/",
        "//api/v1/devices",
        "/api/v1/../v1/devices",
        "/./api/v1/devices",
    ],
)
def test_no_spelling_of_a_path_gets_past(city, path):
    answer = city.client.get(path, follow_redirects=False)
    assert answer.status_code in {401, 404}


@pytest.mark.parametrize(("method", "path"), [one for one in OPERATIONS if one not in PUBLIC])
def test_without_any_role_nothing_but_ones_own_affairs_is_open(nobody, method, path):
    operation = DOCUMENT["paths"][path][method.lower()]["operationId"]
    refused = nobody.request(method, filled(path)).status_code == 403
    assert refused or operation in OWN_AFFAIRS


def test_every_route_declares_its_permission():
    undeclared = {
        route.name
        for router in area_routers()
        for route in router.routes
        if isinstance(route, APIRoute)
        and not any(hasattr(part.call, "gulou_action") for part in route.dependant.dependencies)
    }
    own = {"".join(f"_{c.lower()}" if c.isupper() else c for c in name) for name in OWN_AFFAIRS}
    assert undeclared - own == {"sign_in", "get_liveness", "get_readiness"}


def test_operation_ids_are_clean_and_unique():
    ids = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)
    assert all(name.isalnum() and name[0].islower() for name in ids)


def test_every_operation_says_what_it_does():
    operations = [operation for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert [operation["operationId"] for operation in operations if not operation.get("description")] == []


def test_the_checked_in_document_is_current():
    path = REPOSITORY / "console" / "openapi.json"
    assert path.read_text("utf-8") == exported(), "run: python -m gulou.api.export > console/openapi.json"


def test_every_reference_in_the_document_leads_somewhere():
    text = json.dumps(DOCUMENT)
    named = set(DOCUMENT["components"]["schemas"])
    referred = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred - named == set()


def test_the_document_is_served_to_who_is_signed_in(city):
    city.sign_in()
    assert city.client.get("/api/v1/openapi.json").json()["info"]["title"] == "Gulou"
