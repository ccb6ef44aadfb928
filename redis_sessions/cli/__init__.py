"""The command line, one noun a file. Its verbs are the methods' names."""
