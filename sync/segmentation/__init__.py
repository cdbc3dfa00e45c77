"""What kind of account an organisation is, and its tier."""
