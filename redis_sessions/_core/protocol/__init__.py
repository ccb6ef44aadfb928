"""The protocol with the server: calls as values, keys, ids, message encoding, stored records, scripts."""
