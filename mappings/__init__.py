"""Names: canonical model, field maps, feed layouts, policies. Imports nothing of ours; only load.py reads files."""
