"""Access as a whole: sign in, find out who asks. Accounts, sessions, tokens and the trail are its parts."""

from __future__ import annotations

from collections.abc import Iterable

from gulou.access.accounts import Accounts, User
from gulou.access.audit import Audit
from gulou.access.identity import IdentityProvider, LocalIdentity
from gulou.access.model import Permission, Principal
from gulou.access.passwords import Passwords, name_key
from gulou.access.sessions import Sessions, Token, Tokens
from gulou.access.settings import AccessSettings
from gulou.access.throttle import Throttle
from gulou.kernel import Clock, Denied
from gulou.records import Database


class AccessService:
    """Signs people in and authenticates every caller; safe from any thread.

    Args:
        passwords: how passwords are hashed; tests give a cheap one.
        identity: who vouches for people; None: the local accounts.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: AccessSettings | None = None,
        *,
        passwords: Passwords | None = None,
        identity: IdentityProvider | None = None,
    ) -> None:
        settings = settings or AccessSettings()
        hashing = passwords or Passwords()
        self.audit = Audit(database, clock)
        self.accounts = Accounts(database, clock, settings, hashing, self.audit)
        self.sessions = Sessions(database, clock, settings)
        self.tokens = Tokens(database, clock, self.audit)
        self._identity = identity or LocalIdentity(database, hashing)
        self._by_name = Throttle(clock, settings.failures_before_lock, settings.lock_s, settings.lock_max_s)
        self._by_address = Throttle(clock, settings.failures_per_address, settings.lock_s, settings.lock_max_s)

    def sign_in(self, name: str, password: str, address: str) -> tuple[str, Principal]:
        """Begin a session.

        Args:
            address: where the request comes from, for the throttle.

        Returns:
            The session's token, to be put into a cookie, and who it stands for.

        Raises:
            Denied: ``access.bad_credentials`` (the same for a wrong name, a wrong password and a disabled account),
                ``access.locked`` after too many of them.
        """
        key = name_key(name)[:200]
        self._by_address.attempt(address)
        self._by_name.attempt(key)
        account_id = self._identity.identify(name, password)
        user = self.accounts.get(account_id) if account_id is not None else None
        if user is None or not user.enabled:
            raise Denied("access.bad_credentials")
        self._by_name.succeeded(key, forget=True)
        self._by_address.succeeded(address, forget=False)
        token = self.sessions.open(user.id, address)
        principal = self.sessions.authenticate(token)
        self.audit.record(principal, "user.signed_in", "user", user.id, {"address": address[:64]})
        return token, principal

    def sign_out(self, principal: Principal) -> None:
        """End the session by which a principal came."""
        if principal.session_id is not None:
            self.sessions.close(principal.session_id)

    def authenticate_session(self, token: str, *, touch: bool = True) -> Principal:
        """Return who is signed in by a session's token; raises Denied. See ``Sessions.authenticate``."""
        return self.sessions.authenticate(token, touch=touch)

    def authenticate_token(self, secret: str) -> Principal:
        """Return the program that a token belongs to; raises Denied."""
        return self.tokens.authenticate(secret)

    def ensure_first_admin(self) -> str | None:
        """Create ``admin`` at the first start and return its one-time password; None later on."""
        return self.accounts.ensure_first_admin()

    def create_user(
        self,
        principal: Principal,
        name: str,
        password: str | None = None,
        *,
        roles: Iterable[str] = (),
        department: str | None = None,
        display_name: str | None = None,
        language: str | None = None,
    ) -> tuple[User, str | None]:
        """Create an account; see ``Accounts.create``."""
        return self.accounts.create(
            principal,
            name,
            password,
            roles=roles,
            department=department,
            display_name=display_name,
            language=language,
        )

    def set_roles(self, principal: Principal, user_id: str, roles: Iterable[str]) -> User:
        """Give an account other roles; they hold from its next request on."""
        return self.accounts.update(principal, user_id, {"roles": list(roles)})

    def disable(self, principal: Principal, user_id: str) -> User:
        """Shut an account out at once."""
        return self.accounts.update(principal, user_id, {"enabled": False})

    def change_password(self, principal: Principal, current: str, new: str) -> None:
        """Change one's own password; see ``Accounts.change_password``."""
        key = f"change:{principal.id}"
        self._by_name.attempt(key)
        self.accounts.change_password(principal, current, new)
        self._by_name.succeeded(key, forget=True)

    def reset_password(self, principal: Principal, user_id: str) -> str:
        """Give an account a made-up password and unlock its name."""
        password = self.accounts.reset_password(principal, user_id)
        self._by_name.succeeded(name_key(self.accounts.get(user_id).name), forget=True)
        return password

    def locked_until_us(self, user: User) -> int | None:
        """Return until when wrong passwords keep an account from signing in; None if they do not."""
        return self._by_name.locked_until_us(name_key(user.name))

    def create_token(
        self, principal: Principal, name: str, permissions: Iterable[Permission], expires_in_days: int | None = 90
    ) -> tuple[Token, str]:
        """Create a program's token; see ``Tokens.create``."""
        return self.tokens.create(principal, name, permissions, expires_in_days)

    def revoke_token(self, principal: Principal, token_id: str) -> None:
        """Make a token worthless at once."""
        self.tokens.revoke(principal, token_id)
