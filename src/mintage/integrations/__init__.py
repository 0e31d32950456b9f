"""Mintage inside other applications. Each module is for one framework."""
