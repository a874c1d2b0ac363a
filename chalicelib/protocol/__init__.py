"""What Kinto means: pure functions and values, without AWS, Chalice, clock or randomness."""
