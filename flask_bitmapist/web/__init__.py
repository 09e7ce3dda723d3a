"""The pages, shared by the standalone surface and Flask-Admin."""
