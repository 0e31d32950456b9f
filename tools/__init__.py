"""What the project is built, released and tested with; no part of the package."""
