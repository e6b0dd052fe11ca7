"""What every adapter of a port must keep: one suite per port, run on each adapter.

A suite is a class of tests; a test module derives from it and provides the fixture `primary` or
`replica`. Whoever writes another adapter runs the same classes.
"""
