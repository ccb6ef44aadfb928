# Generated from _async/api/__init__.py by tools/mirror.py; edit that file.
"""The classes that callers use: caches, sessions, leases, runs, loops, state, documents, workers."""
