"""spandrel and its peers side by side: one backend, one load, one worker each, in turn."""
