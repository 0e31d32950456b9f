"""What several test packages use. No test package imports another one: it belongs here."""
