"""Exports and imports: the lines of an export, the checks of each line, and the calls that store what was read."""
