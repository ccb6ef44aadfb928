"""A private real server for one machine: shared by the processes that name the same path, gone when the last one is."""
