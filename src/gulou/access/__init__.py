"""Access: who acts, what they may do, and the record of what they did."""

from gulou.access.model import ACTIONS, BUILT_IN_ROLES, Permission, Principal, Role

__all__ = ["ACTIONS", "BUILT_IN_ROLES", "Permission", "Principal", "Role"]
