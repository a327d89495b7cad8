"""What each kind of experiment leaves behind: one file each, found by module name.

A module here has `results(reader, runs) -> Results`: the runs of one parent, read back from the
tracking server, as tables, figure and verdicts, with the question, the set-up and what the numbers
say for its report.
"""
