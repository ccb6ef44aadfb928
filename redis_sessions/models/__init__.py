"""What callers give and get, one noun a file."""
