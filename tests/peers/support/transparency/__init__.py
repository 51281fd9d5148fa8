"""The differential harness: one script, played directly and through spandrel, seen at both ends."""
