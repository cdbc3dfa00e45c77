"""The demo's world: files with their origin (ORIGIN.md), the script that derived them, and their loader."""
