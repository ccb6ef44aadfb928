"""Session stores of frameworks. Each needs an extra of the same name."""
