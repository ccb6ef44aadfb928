"""Replays conversations through a fleet of worker processes and proves that nothing was lost, doubled or reordered."""
