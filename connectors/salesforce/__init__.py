"""Salesforce over simple-salesforce."""
