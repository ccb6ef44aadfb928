"""A real server on this machine. Processes that name the same path share the server, which ends with the last of them."""
