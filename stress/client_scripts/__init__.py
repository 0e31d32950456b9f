"""Programs that log in by means of a library; `stress.clients` installs each beside it."""
