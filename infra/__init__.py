"""What the service runs on: the tables, deploying, the local server."""
