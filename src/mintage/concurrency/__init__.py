"""Doing things at once, and not too often: shared flights, back-offs, limits, bounded memories."""
