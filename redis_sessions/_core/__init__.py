"""The meaning of the system, without waiting: IDs, keys, calls and the parsing of replies. Imports neither redis nor asyncio."""
