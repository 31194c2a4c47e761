"""Datasets in LeRobot's formats: read as foreign ones, and written for other tools."""
