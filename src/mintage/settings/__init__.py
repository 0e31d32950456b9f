"""`mintage.toml`: one module for each part of the file; `load` reads it all."""
