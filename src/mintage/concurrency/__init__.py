"""Limits for parallel and repeated work: single flights, back-offs, host limits, bounded caches."""
