"""Datasets in LeRobot's format v3.0: read as foreign ones, and written for other tools."""
