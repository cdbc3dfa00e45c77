"""A local Salesforce, HubSpot and mail server with full history, for the demo and the tests. Stands alone."""
