"""Payload codecs: compression and encryption in the client."""
