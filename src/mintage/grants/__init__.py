"""A login and all that it can become: states, transitions, records, handles. Pure."""
