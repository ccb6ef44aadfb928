"""A soak: a fleet works for hours while faults are injected, and a checker reads the whole history."""
