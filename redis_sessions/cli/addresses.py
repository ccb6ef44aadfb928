"""The HOST:PORT at which a command serves."""

from __future__ import annotations

import ipaddress
import os
import socket

from ..errors import InvalidInput


def parse_address(text: str, option: str, example: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT, or of a port of this machine. Raises InvalidInput that names the option."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65535:
        raise InvalidInput(name=option, detail=f"must be HOST:PORT, such as {example}, got {text!r}")
    return host, int(port)


def show_address(host: str, port: int) -> str:
    """Return an address as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen_on(host: str, port: int, option: str) -> socket.socket:
    """Return a socket that listens, on a free port for 0. Raises InvalidInput that names the option and the reason."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as problem:
        raise cannot_listen(host, port, option, problem) from None


def cannot_listen(host: str, port: int, option: str, problem: OSError) -> InvalidInput:
    """Return the error of an address that cannot be listened on."""
    reason = os.strerror(problem.errno) if problem.errno and problem.errno > 0 else str(problem)
    place = show_address(host, port)
    detail = f"cannot listen on {place} ({reason}): stop what uses the port, or give another address"
    return InvalidInput(name=option, detail=detail)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
