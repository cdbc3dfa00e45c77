"""Remembers: snapshots, crosswalk, agreed values, plans, journal, audit, leases. Never decides or calls the network."""
