"""The sandbox Salesforce."""
