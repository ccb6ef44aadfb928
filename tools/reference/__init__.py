"""The generated parts of the reference."""
