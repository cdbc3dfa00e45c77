"""Two peers of the core that decide the same by hand for one policy: in Polars, and with an object per row."""
