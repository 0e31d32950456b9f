"""The API and the page for operators. They are served beside the application, not by it."""
