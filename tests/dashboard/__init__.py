"""The dashboard: pages, access, actions and streams."""
