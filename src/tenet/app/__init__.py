"""Assembly: settings, the command line and the server; the only room that chooses an engine."""
