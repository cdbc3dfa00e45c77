"""HubSpot over hubspot-api-client."""
