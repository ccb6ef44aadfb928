"""A browser page whose errors, refused contents and requests to other hosts fail the test."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

_REPORT_REFUSALS = """
document.addEventListener('securitypolicyviolation', (event) => {
  console.error('CSP refused ' + event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample);
});
window.addEventListener('unhandledrejection', (event) => console.error('unhandled ' + event.reason));
"""
_OF_A_LOST_CONNECTION = ("net::ERR_CONNECTION_REFUSED", "net::ERR_INCOMPLETE_CHUNKED_ENCODING", "net::ERR_INTERNET_DISCONNECTED",
                         "net::ERR_CONNECTION_RESET", "net::ERR_EMPTY_RESPONSE", "503")  # fmt: skip


class WatchedPages:
    """Browser contexts on one dashboard, and what went wrong in them."""

    def __init__(self, browser: Browser, base: str) -> None:
        self._browser = browser
        self._base = base
        self._contexts: list[BrowserContext] = []
        self.problems: list[str] = []
        self.is_disturbed = False
        """True in tests that break the connection, so that the browser's own messages of that are expected."""
        self.expected_status: tuple[int, ...] = ()
        """The statuses that the test provokes. The browser reports each as an error."""

    def open(self, *, width: int = 1280, height: int = 900, is_dark: bool = False, has_script: bool = True) -> Page:
        """Return a page in a context of its own, as another viewer has it."""
        context = self._browser.new_context(
            base_url=self._base, viewport={"width": width, "height": height}, color_scheme="dark" if is_dark else "light",
            java_script_enabled=has_script, reduced_motion="reduce",
        )  # fmt: skip
        self._contexts.append(context)
        context.add_init_script(_REPORT_REFUSALS)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.problems.append(f"error: {error.error}"))
        context.on("request", self._check_host)
        context.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        return context.new_page()

    def close(self) -> None:
        """Close all contexts."""
        for context in self._contexts:
            context.close()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if self.is_disturbed and any(one in message.text for one in _OF_A_LOST_CONNECTION):
            return
        if any(f"status of {status}" in message.text for status in self.expected_status):
            return
        self.problems.append(f"console {message.type}: {message.text[:500]} at {message.location}")

    def _check_host(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme != "data" and f"{parts.scheme}://{parts.netloc}" != self._base:
            self.problems.append(f"request to another host: {request.url[:200]}")
