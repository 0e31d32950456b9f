"""A login from start to end: its states, transitions, records and handles. Pure."""
