"""What a dataset looks like, and what is wrong with it."""
