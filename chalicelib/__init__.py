"""Kinto's JSON storage service on Lambda and DynamoDB."""
