"""Do the work that handles share: index upkeep, run queues, watching, listing, pruning, export and import."""
