import pytest


def test_the_session_travels_in_a_cookie_that_scripts_can_not_read(city):
    answer = city.client.post("/api/v1/session", json={"name": "admin", "password": city.password})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert cookie.split("=")[1].split(";")[0] not in answer.text


def test_who_am_i(city):
    city.sign_in_as("steward", department="water")
    session = city.client.get("/api/v1/session").json()
    assert session["principal"]["name"] == "steward"
    assert session["principal"]["department"] == "water"
    assert {"action": "device.write", "departments": ["water"], "entity_types": None} in session["principal"][
        "permissions"
    ]
    assert session["expires_at"] == "2026-07-02T08:00:00Z"
    assert session["csrf_token"] == city.client.headers["X-Gulou-Csrf"]


def test_signing_out_ends_the_session_on_the_server_too(city):
    city.sign_in()
    kept = city.client.cookies["gulou_session"]
    assert city.client.delete("/api/v1/session").status_code == 204
    city.client.cookies.set("gulou_session", kept)
    assert city.client.get("/api/v1/session").status_code == 401


@pytest.mark.parametrize("token", ["", "wrong", "0" * 48])
def test_a_change_by_cookie_needs_the_pages_own_token(city, token):
    city.sign_in()
    answer = city.client.delete("/api/v1/session", headers={"X-Gulou-Csrf": token})
    assert (answer.status_code, answer.json()["code"]) == (403, "access.csrf")
    assert city.client.get("/api/v1/session").status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://city.test.evil.test", "http://city.test:81"])
def test_another_sites_page_changes_nothing(city, origin):
    city.sign_in()
    answer = city.client.delete("/api/v1/session", headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "access.origin")
    body = {"name": "admin", "password": city.password}
    assert city.client.post("/api/v1/session", json=body, headers={"Origin": origin}).status_code == 403


def test_the_own_page_changes_things(city):
    city.sign_in()
    assert city.client.delete("/api/v1/session", headers={"Origin": "http://city.test"}).status_code == 204


def test_a_form_can_not_sign_anybody_in(city):
    text = '{"name": "admin", "password": "' + city.password + '"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = city.client.post("/api/v1/session", content=text, headers={"Content-Type": kind})
        assert answer.status_code == 422


def test_a_token_needs_no_csrf_and_is_no_session(city):
    city.sign_in()
    body = {"name": "reader", "permissions": [{"action": "user.manage"}]}
    made = city.client.post("/api/v1/tokens", json=body).json()
    city.client.cookies.clear()
    city.client.headers["X-Gulou-Csrf"] = ""
    city.client.headers["Authorization"] = f"Bearer {made['secret']}"
    assert city.client.post("/api/v1/users", json={"name": "Li", "roles": ["viewer"]}).status_code == 201
    assert city.client.get("/api/v1/audit").status_code == 403
    assert city.client.get("/api/v1/session").json()["principal"]["kind"] == "token"


@pytest.mark.parametrize("header", ["Bearer", "Bearer x", "Basic YTpi", "bearer gulou_nothing", "Digest x"])
def test_a_bad_authorization_is_not_saved_by_a_good_cookie(city, header):
    city.sign_in()
    assert city.client.get("/api/v1/session", headers={"Authorization": header}).status_code == 401


def test_wrong_passwords_are_slowed_down(city):
    body = {"name": "admin", "password": "wrong wrong"}
    codes = [city.client.post("/api/v1/session", json=body).status_code for _ in range(6)]
    assert codes == [401] * 5 + [429]
    assert city.client.post("/api/v1/session", json=body).headers["Retry-After"] == "15"


def test_a_malformed_sign_in_does_not_echo_the_password(city):
    answer = city.client.post("/api/v1/session", json={"name": "admin", "password": "s3cret" * 300, "x": 1})
    assert answer.status_code == 422
    assert "s3cret" not in answer.text
    assert {error["where"] for error in answer.json()["errors"]} == {"body.password", "body.x"}


def test_the_password_is_changed(city):
    city.sign_in()
    body = {"current_password": city.password, "new_password": "another good one"}
    assert city.client.post("/api/v1/session/password", json=body).status_code == 204
    assert city.client.get("/api/v1/session").status_code == 200
    city.sign_in(password="another good one")
