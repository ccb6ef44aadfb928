"""The worst data that can be stored, and the calls that meet it: one file for each group of scripts."""
