"""Mintage inside other people's applications: each module is for one of their frameworks."""
