"""The demonstrations: a fleet that replays conversations, and a fleet that grows a tree of agents."""
