"""What the system means, without waiting: ids, keys, calls and the reading of replies. Imports neither redis nor asyncio."""
