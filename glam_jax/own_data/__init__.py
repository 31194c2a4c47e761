"""Datasets that someone else recorded: their key maps, and their conversion to the schema."""
