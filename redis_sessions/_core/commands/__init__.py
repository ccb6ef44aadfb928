"""One noun a file: functions that turn arguments into a `Call` with a reader for its reply, and what the nouns mean."""
