"""Tests of the kit for tests of users."""
