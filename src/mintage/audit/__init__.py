"""The audit trail: one record for each security event, to a file, to stdout or to a webhook."""
