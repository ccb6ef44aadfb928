"""Tests of transcripts: windows, groups, edits, and the rules of vendors."""
