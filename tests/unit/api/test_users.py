def test_an_account_from_begin_to_end(city):
    city.sign_in()
    made = city.client.post("/api/v1/users", json={"name": "Li", "roles": ["viewer"], "department": "water"}).json()
    user = made["user"]
    assert len(made["password"]) == 23
    assert user["must_change_password"] is True
    path = f"/api/v1/users/{user['id']}"
    changed = city.client.patch(path, json={"roles": ["steward"], "version": user["version"]}).json()
    assert (changed["roles"], changed["department"], changed["version"]) == (["steward"], "water", 2)
    stale = city.client.patch(path, json={"roles": ["viewer"], "version": user["version"]})
    assert (stale.status_code, stale.json()["code"]) == (409, "access.user_changed")
    assert city.client.patch(path, json={"department": None}).json()["department"] is None
    assert city.client.patch(path, json={"roles": None}).json()["roles"] == ["steward"]
    assert len(city.client.post(f"{path}/password").json()["password"]) == 23
    assert city.client.delete(path).status_code == 204
    assert city.client.get(path).status_code == 404


def test_lists_are_paged_and_searched(city):
    for number in range(5):
        city.add_user(f"user-{number}", "viewer")
    city.sign_in()
    first = city.client.get("/api/v1/users", params={"limit": 4, "q": "user"}).json()
    second = city.client.get("/api/v1/users", params={"limit": 4, "q": "user", "cursor": first["next"]}).json()
    assert [user["name"] for user in first["items"] + second["items"]] == [f"user-{n}" for n in range(5)]
    assert (first["total"], second["next"]) == (5, None)


def test_ids_get_names_but_nobody_gets_the_list_of_accounts(city):
    city.sign_in()
    made = city.client.post("/api/v1/users", json={"name": "li", "display_name": "Li Wei"}).json()["user"]
    token = city.client.post("/api/v1/tokens", json={"name": "desk", "permissions": [{"action": "device.read"}]}).json()
    city.add_user("looker", "viewer")
    city.sign_in("looker")
    asked = [made["id"], token["token"]["id"], "user-of-nobody", made["id"]]
    answer = city.client.get("/api/v1/people", params={"id": asked}).json()
    assert answer == {"items": [{"id": made["id"], "name": "Li Wei"}, {"id": token["token"]["id"], "name": "desk"}]}
    assert city.client.get("/api/v1/people").status_code == 422
    assert city.client.get("/api/v1/people", params={"id": ["x"] * 101}).status_code == 422


def test_every_change_is_on_the_trail_without_secrets(city):
    city.sign_in()
    made = city.client.post("/api/v1/users", json={"name": "Li"}).json()
    token = city.client.post("/api/v1/tokens", json={"name": "t", "permissions": [{"action": "device.read"}]}).json()
    city.client.delete(f"/api/v1/tokens/{token['token']['id']}")
    page = city.client.get(
        "/api/v1/audit", params={"actor": city.client.get("/api/v1/session").json()["principal"]["id"]}
    )
    assert [entry["action"] for entry in page.json()["items"]] == [
        "token.revoked", "token.created", "user.created", "user.signed_in",
    ]  # fmt: skip
    assert made["password"] not in page.text
    assert token["secret"] not in page.text
    assert city.client.get("/api/v1/audit/verification").json() == {"intact": True, "entries": 5, "first_broken": None}


def test_the_trail_is_narrowed_by_time(city):
    city.sign_in()
    city.clock.advance(60)
    city.client.post("/api/v1/users", json={"name": "Li"})
    page = city.client.get("/api/v1/audit", params={"from": "2026-07-01T16:01:00+08:00"}).json()
    assert [entry["action"] for entry in page["items"]] == ["user.created"]
    empty = city.client.get("/api/v1/audit", params={"from": "2026-07-01T08:00:00Z", "to": "2026-07-01T08:00:00Z"})
    assert empty.json()["code"] == "request.bad_span"
    zoneless = city.client.get("/api/v1/audit", params={"from": "2026-07-01T08:00:00"})
    assert zoneless.status_code == 422


def test_a_token_can_not_be_wider_than_its_maker(city):
    city.sign_in()
    body = {"name": "t", "permissions": [{"action": "device.explode"}]}
    assert city.client.post("/api/v1/tokens", json=body).json()["code"] == "access.action_unknown"


def test_roles_say_what_they_allow(city):
    city.sign_in()
    roles = {role["name"]: role for role in city.client.get("/api/v1/roles").json()["items"]}
    assert roles["duty-officer"]["label"]["zh"] == "值班员"
    assert "warning.acknowledge" in {permission["action"] for permission in roles["duty-officer"]["permissions"]}
