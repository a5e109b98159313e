"""The edge: one listener with HTTP, TLS, SigV4, admission, metrics and tracing for every service."""
