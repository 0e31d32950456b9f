"""The demo's parts: a real MCP server, and a real client that walks through everything."""
