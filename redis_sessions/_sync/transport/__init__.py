# Generated from _async/transport/__init__.py by tools/mirror.py; edit that file.
"""Carry calls to servers: connections, routing, retries, and the subscription that hears notifications."""
