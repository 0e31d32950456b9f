"""Log lines that name their request, in Mintage's own server and in applications with it inside.

::

    handler = logging.StreamHandler()
    handler.addFilter(RequestFilter())
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
"""

from mintage.logs.lines import JsonLines, RequestFilter, TextLines

__all__ = ["JsonLines", "RequestFilter", "TextLines"]
