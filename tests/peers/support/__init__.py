"""Real peers for spandrel: a collector, applications, clients, and the proxy between them."""
