"""Shared scopes."""
