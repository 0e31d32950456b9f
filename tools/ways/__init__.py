"""Follows each documented way to run Mintage, from the pages' own text to a login.

::

    python -m tools.ways [--list] [--linked] [WAY …]

Each way begins in an empty directory with an empty home. It types what a page says, as the page
says it, and ends in a real login. What it can't run on this machine it names. The table at the end
says how long each took, and how much it left on the disk.
"""
