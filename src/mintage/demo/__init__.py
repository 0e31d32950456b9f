"""The parts of the demo: a real MCP server, and a real client that goes through every step."""
