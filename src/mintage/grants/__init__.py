"""A login and all that it can become: its states, its transitions, its records and handles. Pure."""
