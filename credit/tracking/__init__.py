"""MLflow behind two doors: `writer`, the only one to write through, and `reader`, to read.

- store: where runs go; checked before any compute; database: its file, where it is SQLite
- marks: the tags that runs are known by, and who owns a run
- runs: parents and children, opened, found again, continued
- journal: the on-disk record that survives a dead server and a killed process
- sending: metric values to the server through the journal, without slowing training
- artifacts: files, tables, figures, text, datasets
- writer: what the sweep imports, all of the above
- rows, history: runs and values, in SQL from a file, through the client from a server
- reader: typed DataFrames for analysis and notebooks; exported: the same from an exported folder
- portable: runs as files that can be imported into another store; foreign: checks them first
"""
