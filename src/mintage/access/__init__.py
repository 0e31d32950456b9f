"""Who may do what: scopes and what they imply, rules, and the paths and e-mails they compare."""
