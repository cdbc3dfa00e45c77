"""Which records and feed rows are one organisation."""
