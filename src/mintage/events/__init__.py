"""Security events: what happened, to whom, and from where. No tokens, codes or secrets. Pure."""
