"""Authentication policies: from a request's credentials to a user id."""
