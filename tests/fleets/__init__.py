"""Tests of whole fleets: workers that are killed, clients that wait, and the bounds that both may rely on."""
