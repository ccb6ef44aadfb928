"""The classes that callers use: caches, sessions, leases, runs, loops, state, documents, workers."""
