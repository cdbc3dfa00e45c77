"""The command line: one module per verb family; `app.py` assembles them."""
