"""Tests of what the service runs on."""
