"""The dynamic side: a program really runs, in a sandbox and under probes, and what it did becomes a trace.

`job` says what is run and what came of it, `log` is the file between the two processes, `launch` runs a job (parent),
`child` is the process in which the program runs, `identity` knows rows by content, `probes/` wrap what the catalog names,
`observed` turns a log into the trace that rules read.
"""
