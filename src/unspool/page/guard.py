"""Who may drive the lab: its own page, and no page of another origin."""

from __future__ import annotations

import hmac
import secrets

from starlette.requests import Request

from unspool.serve.errors import DENIED, Refused

TOKEN_HEADER = "x-unspool-token"
OWN_SITE = ("same-origin", "none")
"""What browsers say of a request that no other site caused."""


class Guard:
    """A token that only this server's own page holds: drawn at the start, written into the page, sent back with every request."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(24)

    def let_in(self, request: Request) -> None:
        """Refuse a request that does not come from the lab's page."""
        site, origin = request.headers.get("sec-fetch-site", "none"), request.headers.get("origin")
        own = f"{request.url.scheme}://{request.headers.get('host', '')}"
        if site not in OWN_SITE or origin not in (None, own):
            raise Refused("the lab answers its own page alone, and this request comes from another", status=403, kind=DENIED)
        if not hmac.compare_digest(request.headers.get(TOKEN_HEADER, "").encode(), self.token.encode()):
            raise Refused("the lab was started again since this page was opened: reload it", status=403, kind=DENIED, code="old_page")
