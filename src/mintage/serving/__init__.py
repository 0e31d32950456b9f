"""The HTTP server in front of the application: uvicorn, with bounds on what a client may take."""
