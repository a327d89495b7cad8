"""MLflow behind two doors: `writer`, the only one to write through, and `reader`, to read.

store, database: where runs go; marks: their tags; runs: parents and children; journal, sending:
metric values on their way; rows, history: runs and values read back; exported: the same from a
folder; portable, foreign: export and import; notes, views: the pages of the UI.
"""
