"""The grant types of the token endpoint, one file each. See `GrantType` for their parts.

A file has its name, a request as a frozen value with a pure `parse`, `issue`, what it adds to the
server's metadata, and its rules as functions of their arguments.
"""
