"""Access: who acts, what they may do, and the record of what they did."""

from gulou.access.accounts import Accounts, User, UserPage
from gulou.access.audit import Audit, AuditDraft, AuditEntry, AuditFilter, AuditPage, Verification
from gulou.access.device_credentials import DeviceCredentials, make_secret
from gulou.access.identity import IdentityProvider, LocalIdentity
from gulou.access.model import ACTIONS, BUILT_IN_ROLES, Permission, Principal, Role
from gulou.access.passwords import Passwords
from gulou.access.service import AccessService
from gulou.access.sessions import Token, TokenPage
from gulou.access.settings import AccessSettings

__all__ = [
    "ACTIONS",
    "BUILT_IN_ROLES",
    "AccessService",
    "AccessSettings",
    "Accounts",
    "Audit",
    "AuditDraft",
    "AuditEntry",
    "AuditFilter",
    "AuditPage",
    "DeviceCredentials",
    "IdentityProvider",
    "LocalIdentity",
    "Passwords",
    "Permission",
    "Principal",
    "Role",
    "Token",
    "TokenPage",
    "User",
    "UserPage",
    "Verification",
    "make_secret",
]
