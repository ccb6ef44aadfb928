"""The command line, one noun a file. The commands have the names of the methods."""
