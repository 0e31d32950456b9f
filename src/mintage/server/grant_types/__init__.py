"""The grants of the token endpoint, one file each: a name, a pure parse, and `issue`."""
