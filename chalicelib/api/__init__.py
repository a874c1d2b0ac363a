"""From a request to staged changes and a response."""
