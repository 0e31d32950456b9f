"""The grants of RFC 6749, one file each: a name, a pure parse, and `issue`."""
