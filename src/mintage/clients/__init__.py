"""Registered clients (RFC 7591): their ids, metadata, documents, keys and redirect URIs."""
