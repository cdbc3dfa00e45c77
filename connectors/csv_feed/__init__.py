"""Vendor CSV deliveries, streamed."""
