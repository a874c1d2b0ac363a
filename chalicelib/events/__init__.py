"""From the stream of `objects` to what is done about its changes, after they were committed."""
