"""Generated from `_async` (make mirror), but for io.py."""
