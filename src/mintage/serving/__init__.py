"""The HTTP server in front of the application: uvicorn, with limits for what a client may use."""
