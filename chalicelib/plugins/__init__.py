"""Plugins that come with the service, and those that the settings include."""
