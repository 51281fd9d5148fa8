"""What the tests of redirection share: other people's rules, and proxies that are not spandrel."""
