import pytest

from gulou.api.asking import preferred_language
from gulou.api.problems import problem_of, status_of
from gulou.kernel import Conflict, Denied, Fault, Invalid, NotFound, Unavailable
from gulou.kernel.documents import Problem, broken


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Invalid("request.empty"), 422),
        (NotFound("access.user_unknown", user_id="u"), 404),
        (Conflict("access.last_admin"), 409),
        (Denied("access.denied", action="a", department="", entity_type=""), 403),
        (Denied("access.unauthenticated"), 401),
        (Denied("access.locked", retry_after_s=3), 429),
        (Unavailable("access.busy"), 503),
        (Fault("access.hash_damaged"), 500),
        (Invalid("request.too_large", limit_bytes=1), 413),
        (Invalid("request.content_type", given="x", known="y"), 415),
    ],
)
def test_every_branch_of_the_tree_has_its_status_and_a_sentence_in_both_languages(error, status):
    english, chinese = problem_of(error, "en", "/x"), problem_of(error, "zh", "/x")
    assert status_of(error) == english["status"] == status
    assert english["detail"] != english["code"] != chinese["detail"]
    assert english["detail"] != chinese["detail"]
    assert english["title"] != chinese["title"]
    assert english["retry"] == error.retry


def test_a_broken_document_names_every_place():
    error = broken([Problem("document.not_yaml", {"detail": "x"}, "rules/a.yaml", 3, 7)])
    assert problem_of(error, "en", "/")["errors"] == [
        {"where": "rules/a.yaml:3:7", "message": "This is not valid YAML: x."}
    ]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("fr,en;q=0.5,zh;q=0.9", "zh"), ("de", "en"), ("zh;q=0", "en"),
        ("zh;q=x,en", "en"), ("*", "en"), ("ZH", "zh"), (",,;;q", "en"),
    ],
)  # fmt: skip
def test_the_language_is_the_best_that_there_is(header, language):
    assert preferred_language(header) == language


def test_the_callers_language_is_spoken(city):
    answer = city.client.get("/api/v1/users", headers={"Accept-Language": "zh-CN"})
    assert answer.json()["detail"].startswith("尚未登录")


def test_the_accounts_own_language_comes_first(city):
    city.sign_in()
    me = city.client.get("/api/v1/session").json()["principal"]["id"]
    city.client.patch(f"/api/v1/users/{me}", json={"language": "zh"})
    answer = city.client.get("/api/v1/users/none", headers={"Accept-Language": "en"})
    assert "不存在" in answer.json()["detail"]


def test_a_defect_shows_no_inside(city, monkeypatch):
    city.sign_in()
    monkeypatch.setattr(city.services.ledger, "accounts", lambda: 1 / 0)
    quiet = city.client_from(raise_server_exceptions=False)
    quiet.cookies = city.client.cookies
    answer = quiet.get("/api/v1/accounting")
    assert (answer.status_code, answer.json()["code"]) == (500, "fault.internal")
    assert len(answer.json()["params"]["reference"]) == 8
    assert "ZeroDivision" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_unknown_paths_and_methods_are_problems_too(city):
    city.sign_in()
    missing = city.client.get("/api/v1/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "request.not_found")
    wrong = city.client.put("/api/v1/users")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "request.method")
    assert wrong.json()["params"]["allowed"] != ""


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b'{"name": NaN}', b"[" * 5000])
def test_broken_bodies_are_problems(city, body):
    city.sign_in()
    answer = city.client.post("/api/v1/users", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "request.malformed")


def test_a_body_too_large_is_refused_whether_it_says_so_or_not(city):
    city.sign_in()
    said = city.client.post("/api/v1/users", content=b"x" * 1_048_577)
    unsaid = city.client.post("/api/v1/users", content=(b"x" * 65_536 for _ in range(20)))
    assert [said.status_code, unsaid.status_code] == [413, 413]
    assert said.json()["params"] == {"limit_bytes": 1_048_576}


def test_a_stranger_is_refused_before_the_body_is_read(city):
    def body():
        yield b"{"
        raise AssertionError("the body was read")

    answer = city.client.post("/api/v1/users", content=body())
    assert answer.status_code == 401
