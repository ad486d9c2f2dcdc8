"""How true predicted traces are: programs are run under observation and the two traces compared (`python -m tests.fidelity`)."""
