"""Carry calls to servers: connections, routing, retries, and the subscription that hears notifications."""
