"""The only hand-written place that waits. `_sync` is generated from it (make mirror)."""
