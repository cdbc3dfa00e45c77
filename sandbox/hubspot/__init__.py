"""The sandbox HubSpot."""
