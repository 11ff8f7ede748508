"""Who may do what: principals, permissions, roles. Frozen, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from gulou.kernel.errors import Denied, Invalid

ACTIONS: frozenset[str] = frozenset(
    {
        "audit.read",
        "device.command",
        "device.read",
        "device.write",
        "entity.read",
        "entity.write",
        "incident.read",
        "incident.write",
        "intake.read",
        "intake.write",
        "pack.manage",
        "rule.read",
        "rule.write",
        "system.read",
        "token.manage",
        "user.manage",
        "warning.acknowledge",
        "warning.read",
    }
)
"""Every action that a permission can give; ``resource.verb``."""

PrincipalKind = Literal["user", "token", "device", "system"]


@dataclass(frozen=True)
class Permission:
    """One action, in some departments, on some entity types.

    Args:
        action: one of ``ACTIONS``.
        departments: None means all.
        entity_types: None means all.
    """

    action: str
    departments: frozenset[str] | None = None
    entity_types: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise Invalid("access.action_unknown", action=self.action)

    def covers(self, action: str, department: str | None, entity_type: str | None) -> bool:
        """Say whether this permission allows an action; None asks for no particular department or type."""
        return (
            self.action == action
            and _reaches(self.departments, department)
            and _reaches(self.entity_types, entity_type)
        )

    def includes(self, other: Permission) -> bool:
        """Say whether everything that ``other`` allows is allowed by this one too."""
        return (
            self.action == other.action
            and _covers_set(self.departments, other.departments)
            and _covers_set(self.entity_types, other.entity_types)
        )


def _reaches(scope: frozenset[str] | None, asked: str | None) -> bool:
    """An empty scope reaches nothing, not even what belongs to nobody."""
    return scope is None or (bool(scope) if asked is None else asked in scope)


def _covers_set(wide: frozenset[str] | None, narrow: frozenset[str] | None) -> bool:
    return wide is None or (narrow is not None and narrow <= wide)


@dataclass(frozen=True)
class Principal:
    """Who acts: a person, a program, a device, or a part of Gulou itself.

    Args:
        id: account id, token id, device id, or the name of the part.
        department: to which the person belongs; what a permission of a role is narrowed to where the role says so.
    """

    kind: PrincipalKind
    id: str
    name: str
    roles: tuple[str, ...] = ()
    permissions: tuple[Permission, ...] = ()
    department: str | None = None
    must_change_password: bool = False
    language: str | None = None
    session_id: str | None = field(default=None, repr=False)

    @classmethod
    def system(cls, name: str) -> Principal:
        """Make the principal of a part of Gulou that acts by itself; it may do everything."""
        return cls(kind="system", id=name, name=name, permissions=_EVERYTHING)

    def may(self, action: str, department: str | None = None, entity_type: str | None = None) -> bool:
        """Say whether this principal may do something.

        Args:
            department: whose thing it is. None: nobody's in particular (a thing without a department is common to
                all), or the caller only asks whether there is any such permission at all.
            entity_type: on which type of entity; None as above.
        """
        return any(permission.covers(action, department, entity_type) for permission in self.permissions)

    def require(self, action: str, department: str | None = None, entity_type: str | None = None) -> None:
        """Do nothing if permitted.

        Raises:
            Denied: ``access.denied``.
        """
        if not self.may(action, department, entity_type):
            raise Denied("access.denied", action=action, department=department or "", entity_type=entity_type or "")

    def departments(self, action: str) -> frozenset[str] | None:
        """Return the departments in which an action is permitted; None means all. For the filter of a list."""
        return _union(p.departments for p in self.permissions if p.action == action)

    def entity_types(self, action: str) -> frozenset[str] | None:
        """Return the entity types on which an action is permitted; None means all. For the filter of a list."""
        return _union(p.entity_types for p in self.permissions if p.action == action)


def _union(scopes: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    found: set[str] = set()
    for scope in scopes:
        if scope is None:
            return None
        found |= scope
    return frozenset(found)


_EVERYTHING = tuple(Permission(action) for action in sorted(ACTIONS))


@dataclass(frozen=True)
class Role:
    """A named set of permissions.

    Args:
        label: name by language.
        own_department: the permissions hold only in the department of whoever has the role; for someone without a
            department they hold everywhere.
    """

    name: str
    label: dict[str, str]
    actions: tuple[str, ...]
    own_department: bool = False

    def permissions_for(self, department: str | None) -> tuple[Permission, ...]:
        """Return what the role allows a member of ``department``."""
        narrowed = frozenset({department}) if self.own_department and department is not None else None
        return tuple(Permission(action, departments=narrowed) for action in self.actions)


_READ = ("entity.read", "device.read", "warning.read", "incident.read", "rule.read", "intake.read", "system.read")

BUILT_IN_ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role("admin", {"en": "Administrator", "zh": "系统管理员"}, tuple(sorted(ACTIONS))),
        Role(
            "duty-officer",
            {"en": "Duty officer", "zh": "值班员"},
            (*_READ, "warning.acknowledge", "incident.write", "device.command"),
        ),
        Role(
            "steward",
            {"en": "Data steward", "zh": "部门数据管理员"},
            (*_READ, "entity.write", "device.write", "rule.write", "intake.write"),
            own_department=True,
        ),
        Role(
            "viewer", {"en": "Viewer", "zh": "浏览者"}, ("entity.read", "device.read", "warning.read", "incident.read")
        ),
        Role(
            "device-integrator",
            {"en": "Device integrator", "zh": "设备集成商"},
            ("entity.read", "device.read", "device.write", "device.command", "intake.read", "intake.write"),
            own_department=True,
        ),
    )
}
