"""Programs that log in by means of a library; `batteries.clients` installs each beside it."""
