"""Session stores for agent frameworks. Each module needs the extra of the same name, and imports its framework lazily."""
