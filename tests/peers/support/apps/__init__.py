"""Applications that know nothing of tracing: real servers, on a port of their own."""
