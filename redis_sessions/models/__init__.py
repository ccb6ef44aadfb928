"""The values that callers give and get, one noun a file."""
