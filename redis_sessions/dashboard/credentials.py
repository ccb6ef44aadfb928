"""The secrets that open the dashboard: a token, or a name with a password, and the signed cookie of who logged in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time

from ..errors import InvalidInput

MIN_TOKEN = 16
MIN_PASSWORD = 8
COOKIE_LIFE = 12 * 3600
"""Seconds for which a login lasts."""


class Credentials:
    """The secrets of a dashboard. Compares them in constant time, and signs cookies and forms."""

    def __init__(self, token: str | None, username: str | None, password: str | None, seed: str = "") -> None:
        """Take a token, a name with a password, both, or none of them. Raises InvalidInput.

        Without any, forms are signed with a key that is made of `seed`, so that several processes of one app accept each other's.
        """
        if (username is None) != (password is None):
            raise InvalidInput(name="username", detail="and password belong together: give both or none of them")
        if token is not None and (len(token) < MIN_TOKEN or not token.isprintable() or not token.isascii()):
            raise InvalidInput(name="token", detail=f"must be {MIN_TOKEN} or more printable ASCII characters")
        if password is not None and len(password) < MIN_PASSWORD:
            raise InvalidInput(name="password", detail=f"must be {MIN_PASSWORD} or more characters")
        if username is not None and (not username or ":" in username or not username.isprintable()):
            raise InvalidInput(name="username", detail="must be printable text without ':'")
        self._token = token
        self._login = None if username is None else f"{username}:{password}"
        self._username = username
        self.is_open = token is None and username is None
        """True if no secret is asked for."""
        self.has_token = token is not None
        self.has_password = username is not None
        secret = f"{token}\n{self._login}" if not self.is_open else f"open\n{seed}"
        self._key = hashlib.pbkdf2_hmac("sha256", secret.encode(), b"redis_sessions dashboard", 100_000)
        self.cookie_name = f"redis_sessions_login_{self.sign('cookie name', '')[:8]}"
        """The name of the cookie of a login. Dashboards on other ports of a host have other secrets, and so other names."""

    def name_of_token(self, token: str) -> str | None:
        """Return the name of the holder of a token, or None if the token is wrong."""
        return "token" if self._token is not None and _is_equal(token, self._token) else None

    def name_of_login(self, username: str, password: str) -> str | None:
        """Return the name of a user, or None if the name or the password is wrong."""
        return self._username if self._login is not None and _is_equal(f"{username}:{password}", self._login) else None

    def name_of_header(self, header: str) -> str | None:
        """Return the name of the caller that an Authorization header proves, or None."""
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "bearer":
            return self.name_of_token(value.strip())
        if scheme.lower() != "basic":
            return None
        try:
            username, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return self.name_of_login(username, password)

    def cookie(self, name: str) -> str:
        """Return the value of a cookie that proves a login until it expires."""
        facts = f"{int(time.time()) + COOKIE_LIFE}.{base64.urlsafe_b64encode(name.encode()).decode()}"
        return f"{facts}.{self.sign('cookie', facts)}"

    def name_of_cookie(self, cookie: str) -> str | None:
        """Return the name of the caller that a cookie proves, or None if the cookie is false or has expired."""
        facts, _, signature = cookie.rpartition(".")
        if not _is_equal(signature, self.sign("cookie", facts)):
            return None
        until, _, name = facts.partition(".")
        return base64.urlsafe_b64decode(name).decode() if int(until) > time.time() else None

    def sign(self, purpose: str, text: str) -> str:
        """Return the signature of a text for one purpose."""
        return hmac.new(self._key, f"{purpose}\n{text}".encode(), hashlib.sha256).hexdigest()

    def is_signed(self, purpose: str, text: str, signature: str) -> bool:
        """Return whether a signature of a text is right."""
        return _is_equal(signature, self.sign(purpose, text))


def _is_equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode(errors="replace"))
