"""`top`: a fleet on the whole screen: what is wrong, agents, sessions, workers, with drill-down and actions."""
