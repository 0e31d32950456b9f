"""A server's name, its protected resources, and what serves each of them."""
