"""The API: HTTP and WebSocket for the console and for programs."""
