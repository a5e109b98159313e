"""Who may do what.

The rules are those of the reference's defaults ("Placement Policies"): most needs the role admin or service, a
project's own usage its role reader, and reshaping the role service. A token of system scope fits none of them, which
are all of project scope.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

Rule: TypeAlias = Literal["open", "admin_or_service", "service", "admin", "project_reader"]

_ADMIN: Final = "admin"
_SERVICE: Final = "service"
_READER: Final = "reader"


class Sender(Struct, frozen=True):
    """Who sent a request.

    Args:
        user: id of the user.
        project: id of the project that the sender acts for; empty for none.
        roles: names.
        is_system: whether the sender acts for the installation, or a domain of Keystone, rather than for a project.
    """

    user: str
    project: str
    roles: frozenset[str]
    is_system: bool = False


class Policy(Struct, frozen=True):
    """What an operator may set about who may do what.

    Args:
        is_open: whether everybody who is known may do everything.
        enforces_new_defaults: whether reshaping needs the role service; else admin will do.
    """

    is_open: bool = False
    enforces_new_defaults: bool = False

    def allows(self, rule: Rule, sender: Sender, project: str | None = None) -> bool:
        """Tells whether a sender may do what a rule guards.

        Args:
            rule: of the operation.
            sender: who asks.
            project: whose data is asked for, where it is a project's.
        """
        if rule == "open" or self.is_open:
            return True
        if sender.is_system:
            return False
        roles = sender.roles
        if rule == "admin":
            return _ADMIN in roles
        if rule == "service":
            return _SERVICE in roles or (_ADMIN in roles and not self.enforces_new_defaults)
        if _ADMIN in roles or _SERVICE in roles:
            return True
        return rule == "project_reader" and _READER in roles and bool(project) and project == sender.project
