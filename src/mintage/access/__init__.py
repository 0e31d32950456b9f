"""Access decisions: scopes and what they include, rules, and the paths and e-mails they compare."""
