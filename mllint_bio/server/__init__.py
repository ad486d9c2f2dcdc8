"""The language server: what `mllint-bio check` would say about the text in the editor, while it is being written.

    server.py    the conversation with the editor (pygls): documents, delays, what is out of date
    messages.py  findings as the protocol wants them: ranges in the editor's units, severities, related information
    worker.py    the process that analyses, so that no file can take the server with it
    checker.py   what happens in that process: one question (the unsaved texts) in, one answer out

Nothing is decided about findings here: `mllint_bio.engine` does that, as for the command line.
"""

from __future__ import annotations

import os
import sys


def serve() -> None:
    """Run the language server on stdin and stdout until the editor ends it."""
    from mllint_bio.server.server import Server
    from mllint_bio.server.worker import Worker

    # What a rule plugin or a library prints must not get between the messages: it goes to stderr.
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    worker = Worker()
    try:
        Server(worker).start_io(sys.stdin.buffer, channel)
    finally:
        worker.close()
