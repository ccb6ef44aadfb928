# Generated from _async/services/__init__.py by tools/mirror.py; edit that file.
"""Do the work that handles share: index upkeep, run queues, watching, listing, pruning, export and import."""
