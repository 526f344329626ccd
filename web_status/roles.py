"""Who may do what: the roles, and the one table of what each route needs.

A route that is not in the table is refused to everybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from aiohttp import web


class Role(IntEnum):
    """What a person may do; each role includes those before it.

    ``ANYONE`` is no role of a user: it is what needs no login.
    """

    ANYONE = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @classmethod
    def named(cls, name: str) -> "Role":
        """The role of a user that is called `name`.

        Raises
        ------
        ValueError
            Users have no such role.
        """
        if name not in ROLE_NAMES:
            raise ValueError(f"expected one of {', '.join(ROLE_NAMES)}, got {name!r}")
        return cls[name.upper()]

    def __str__(self) -> str:
        return self.name.lower()


ROLE_NAMES = ("viewer", "operator", "admin")


@dataclass(frozen=True)
class Needs:
    """What a route needs.

    Attributes
    ----------
    role
        The least role.
    names
        Whether the answer names patients and cannot hide it: only for whom may see names.
    is_use
        Whether a request shows that somebody is there. Pages ask by themselves for updates and
        pictures; that must not keep a session alive.
    is_upload
        Whether it takes files or long texts, of the size that ``[web]`` allows: as
        ``multipart/form-data`` on a page.
    """

    role: Role
    names: bool = False
    is_use: bool = True
    is_upload: bool = False


ROUTES: Mapping[tuple[str, str], Needs] = MappingProxyType(
    {
        ("GET", "/"): Needs(Role.VIEWER),
        ("GET", "/alarms"): Needs(Role.VIEWER),
        ("GET", "/api/v1/"): Needs(Role.VIEWER),
        ("GET", "/api/v1/alarms"): Needs(Role.VIEWER),
        ("GET", "/api/v1/jobs"): Needs(Role.VIEWER),
        ("GET", "/api/v1/jobs/{number}"): Needs(Role.VIEWER),
        ("POST", "/api/v1/jobs/{number}/cancel"): Needs(Role.OPERATOR),
        ("POST", "/api/v1/jobs/{number}/resend"): Needs(Role.OPERATOR),
        ("GET", "/api/v1/nodes"): Needs(Role.VIEWER),
        ("POST", "/api/v1/nodes/studies"): Needs(Role.VIEWER),
        ("GET", "/api/v1/now"): Needs(Role.VIEWER),
        ("GET", "/api/v1/openapi.json"): Needs(Role.VIEWER),
        ("GET", "/api/v1/outputs/{number}"): Needs(Role.VIEWER),
        ("GET", "/api/v1/outputs/{number}/file"): Needs(Role.VIEWER),
        ("GET", "/api/v1/outputs/{number}/slices/{plane}/{index}"): Needs(Role.VIEWER),
        ("GET", "/api/v1/outputs/{number}/volume"): Needs(Role.VIEWER),
        ("GET", "/api/v1/pacs"): Needs(Role.VIEWER),
        ("POST", "/api/v1/pacs/{number}/echo"): Needs(Role.OPERATOR),
        ("GET", "/api/v1/retrieves"): Needs(Role.VIEWER),
        ("POST", "/api/v1/retrieves"): Needs(Role.OPERATOR),
        ("POST", "/api/v1/retrieves/file"): Needs(Role.OPERATOR, is_upload=True),
        ("POST", "/api/v1/retrieves/plan"): Needs(Role.OPERATOR),
        ("GET", "/api/v1/retrieves/{number}"): Needs(Role.VIEWER),
        ("POST", "/api/v1/retrieves/{number}/again"): Needs(Role.OPERATOR),
        ("POST", "/api/v1/retrieves/{number}/cancel"): Needs(Role.OPERATOR),
        ("GET", "/api/v1/retrieves/{number}/report"): Needs(Role.VIEWER),
        ("GET", "/api/v1/rules"): Needs(Role.VIEWER),
        ("GET", "/api/v1/rules/draft"): Needs(Role.ADMIN),
        ("POST", "/api/v1/rules/draft"): Needs(Role.ADMIN, is_upload=True),
        ("POST", "/api/v1/rules/draft/discard"): Needs(Role.ADMIN),
        ("POST", "/api/v1/rules/draft/file"): Needs(Role.ADMIN),
        ("POST", "/api/v1/rules/draft/replay"): Needs(Role.ADMIN, is_upload=True),
        ("POST", "/api/v1/rules/draft/try"): Needs(Role.ADMIN, is_upload=True),
        ("POST", "/api/v1/rules/force"): Needs(Role.ADMIN, is_upload=True),
        ("GET", "/api/v1/rules/versions"): Needs(Role.ADMIN),
        ("GET", "/api/v1/rules/versions/{number}"): Needs(Role.ADMIN),
        ("POST", "/api/v1/rules/versions/{number}/force"): Needs(Role.ADMIN),
        ("POST", "/api/v1/search"): Needs(Role.OPERATOR),
        ("GET", "/api/v1/senders"): Needs(Role.VIEWER),
        ("GET", "/api/v1/series"): Needs(Role.VIEWER),
        ("GET", "/api/v1/series/{number}"): Needs(Role.VIEWER),
        ("POST", "/api/v1/series/{number}/again"): Needs(Role.OPERATOR),
        ("GET", "/api/v1/series/{number}/decision"): Needs(Role.VIEWER),
        ("GET", "/api/v1/series/{number}/history"): Needs(Role.VIEWER),
        ("GET", "/api/v1/series/{number}/jobs"): Needs(Role.VIEWER),
        ("GET", "/api/v1/session"): Needs(Role.VIEWER),
        ("GET", "/api/v1/state"): Needs(Role.VIEWER),
        ("GET", "/api/v1/studies"): Needs(Role.VIEWER),
        ("GET", "/api/v1/studies/{number}"): Needs(Role.VIEWER),
        ("POST", "/api/v1/studies/{number}/again"): Needs(Role.OPERATOR),
        ("POST", "/api/v1/studies/{number}/fetch"): Needs(Role.OPERATOR),
        ("GET", "/api/v1/studies/{number}/instances"): Needs(Role.VIEWER),
        ("GET", "/api/v1/studies/{number}/package"): Needs(Role.VIEWER, names=True),
        ("GET", "/api/v1/studies/{number}/report"): Needs(Role.VIEWER, names=True),
        ("GET", "/api/v1/studies/{number}/workbook"): Needs(Role.VIEWER, names=True),
        ("POST", "/api/v1/studies/search"): Needs(Role.VIEWER),
        ("GET", "/api/v1/system/about"): Needs(Role.ADMIN),
        ("GET", "/api/v1/system/check"): Needs(Role.ADMIN),
        ("POST", "/api/v1/system/check"): Needs(Role.ADMIN),
        ("GET", "/api/v1/system/log"): Needs(Role.ADMIN),
        ("POST", "/api/v1/system/pause"): Needs(Role.ADMIN),
        ("GET", "/api/v1/system/queue"): Needs(Role.ADMIN),
        ("POST", "/api/v1/system/resume"): Needs(Role.ADMIN),
        ("GET", "/api/v1/uploads"): Needs(Role.OPERATOR),
        ("POST", "/api/v1/uploads"): Needs(Role.OPERATOR, is_upload=True),
        ("GET", "/api/v1/uploads/{number}"): Needs(Role.OPERATOR),
        ("GET", "/events"): Needs(Role.VIEWER, is_use=False),
        ("GET", "/healthz"): Needs(Role.ANYONE),
        ("POST", "/jobs/{number}/cancel"): Needs(Role.OPERATOR),
        ("POST", "/jobs/{number}/resend"): Needs(Role.OPERATOR),
        ("POST", "/language"): Needs(Role.ANYONE),
        ("GET", "/login"): Needs(Role.ANYONE),
        ("POST", "/login"): Needs(Role.ANYONE),
        ("POST", "/logout"): Needs(Role.VIEWER),
        ("GET", "/metrics"): Needs(Role.VIEWER, is_use=False),
        ("GET", "/network"): Needs(Role.VIEWER),
        ("POST", "/network/{number}/echo"): Needs(Role.OPERATOR),
        ("GET", "/nodes"): Needs(Role.VIEWER),
        ("POST", "/nodes"): Needs(Role.VIEWER),
        ("GET", "/outputs/{number}"): Needs(Role.VIEWER, is_use=False),
        ("GET", "/outputs/{number}/slices/{plane}/{index}"): Needs(Role.VIEWER),
        ("GET", "/outputs/{number}/viewer"): Needs(Role.VIEWER),
        ("GET", "/retrieves"): Needs(Role.VIEWER),
        ("POST", "/retrieves"): Needs(Role.OPERATOR),
        ("POST", "/retrieves/file"): Needs(Role.OPERATOR, is_upload=True),
        ("POST", "/retrieves/plan"): Needs(Role.OPERATOR),
        ("GET", "/retrieves/{number}"): Needs(Role.VIEWER),
        ("POST", "/retrieves/{number}/again"): Needs(Role.OPERATOR),
        ("POST", "/retrieves/{number}/cancel"): Needs(Role.OPERATOR),
        ("GET", "/rules"): Needs(Role.VIEWER),
        ("GET", "/rules/draft"): Needs(Role.ADMIN),
        ("POST", "/rules/draft"): Needs(Role.ADMIN, is_upload=True),
        ("POST", "/rules/draft/discard"): Needs(Role.ADMIN, is_upload=True),
        ("POST", "/rules/draft/file"): Needs(Role.ADMIN, is_upload=True),
        ("POST", "/rules/draft/rebase"): Needs(Role.ADMIN, is_upload=True),
        ("POST", "/rules/draft/replay"): Needs(Role.ADMIN, is_upload=True),
        ("POST", "/rules/draft/try"): Needs(Role.ADMIN, is_upload=True),
        ("POST", "/rules/force"): Needs(Role.ADMIN, is_upload=True),
        ("GET", "/rules/versions"): Needs(Role.ADMIN),
        ("GET", "/rules/versions/{number}"): Needs(Role.ADMIN),
        ("POST", "/rules/versions/{number}/force"): Needs(Role.ADMIN),
        ("GET", "/search"): Needs(Role.OPERATOR),
        ("POST", "/search"): Needs(Role.OPERATOR),
        ("GET", "/series/{number}"): Needs(Role.VIEWER),
        ("POST", "/series/{number}/again"): Needs(Role.OPERATOR),
        ("GET", "/static"): Needs(Role.ANYONE, is_use=False),
        ("GET", "/studies"): Needs(Role.VIEWER),
        ("POST", "/studies"): Needs(Role.VIEWER),
        ("GET", "/studies/{number}"): Needs(Role.VIEWER),
        ("POST", "/studies/{number}/again"): Needs(Role.OPERATOR),
        ("POST", "/studies/{number}/fetch"): Needs(Role.OPERATOR),
        ("GET", "/studies/{number}/package"): Needs(Role.VIEWER, names=True),
        ("GET", "/studies/{number}/report"): Needs(Role.VIEWER, names=True),
        ("GET", "/studies/{number}/workbook"): Needs(Role.VIEWER, names=True),
        ("GET", "/system"): Needs(Role.ADMIN),
        ("POST", "/system/check"): Needs(Role.ADMIN),
        ("POST", "/system/pause"): Needs(Role.ADMIN),
        ("POST", "/system/resume"): Needs(Role.ADMIN),
        ("GET", "/uploads"): Needs(Role.OPERATOR),
        ("POST", "/uploads"): Needs(Role.OPERATOR, is_upload=True),
    }
)
"""Method and path of every route, as the router writes it, to what it needs. HEAD is as GET."""


def role_of_page(kind: str) -> Role:
    """The least role for the live updates of a page, which all come by one route."""
    needs = ROUTES.get(("GET", f"/{kind}"))
    return Role.VIEWER if needs is None else needs.role


def can_be_read(request: web.Request) -> bool:
    """Whether the address of a request leads to a page, whatever its own method is."""
    resource = request.match_info.route.resource
    return resource is not None and ("GET", resource.canonical) in ROUTES


def needs_of(request: web.Request) -> Needs | None:
    """What the route of a request needs; None where the table does not have it."""
    resource = request.match_info.route.resource
    method = "GET" if request.method == "HEAD" else request.method
    return None if resource is None else ROUTES.get((method, resource.canonical))
