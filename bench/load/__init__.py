"""A load test of a deployed stage, with what users of Kinto's clients do: `make load URL=...`."""
