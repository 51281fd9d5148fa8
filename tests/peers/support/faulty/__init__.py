"""An OTLP receiver that fails on demand: a process of its own, so that it keeps up with full load.

`receiver.py` is the test's end of it, `process.py` what runs; `modes.py` names what can be wrong.
"""
