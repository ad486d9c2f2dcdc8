"""The conversation with the editor: which documents are open, when they are checked, and which results still count.

Every check has a number, and each document knows the number of its latest one: a result that comes back under an older number is
dropped. One check runs at a time; one that waits looks at its number again before it starts, so that nobody waits for texts that
have changed since. While a document cannot be analysed, its last good diagnostics stay, moved with their lines.

Code actions and notebook documents have their place beside `_check`; there are none yet.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from lsprotocol import types
from pygls import uris
from pygls.lsp.server import LanguageServer

from mllint_bio import __version__
from mllint_bio.config import CONFIG_FILES
from mllint_bio.server.checker import Answer, Question
from mllint_bio.server.messages import Messages, moved
from mllint_bio.server.worker import Worker, WorkerError

DELAY = 0.2  # seconds without a further keystroke after which the text is checked
SCHEMES = ("file", "untitled")  # not e.g. `vscode-notebook-cell`: one cell is no program
SHADOW = ".virtual_documents"  # where JupyterLab says that a notebook's text lies: beside nothing that the notebook imports


@dataclass
class Document:
    """An open document.

    latest: number of its latest check; good: its diagnostics when its text was `good_text`, the last that could be analysed;
    told: what is wrong with the settings for it.
    """

    uri: str
    path: str
    latest: int = -1
    good: Sequence[types.Diagnostic] = ()
    good_text: str = ""
    told: str = ""


class Server(LanguageServer):
    """The language server. `worker` analyses."""

    def __init__(self, worker: Worker) -> None:
        # Whole texts: with single changes pygls counts lines as `str.splitlines` does, which breaks lines at form feeds too.
        super().__init__("mllint-bio", __version__, text_document_sync_kind=types.TextDocumentSyncKind.Full)
        self._worker = worker
        self._thread = ThreadPoolExecutor(1, "mllint-bio")
        self._turn = asyncio.Lock()
        self._numbers = itertools.count()
        self._documents: dict[str, Document] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        for method, handler in (
            (types.INITIALIZED, self._initialized),
            (types.TEXT_DOCUMENT_DID_OPEN, self._opened),
            (types.TEXT_DOCUMENT_DID_CHANGE, self._changed),
            (types.TEXT_DOCUMENT_DID_SAVE, self._saved),
            (types.TEXT_DOCUMENT_DID_CLOSE, self._closed),
            (types.WORKSPACE_DID_CHANGE_WATCHED_FILES, self._files_changed),
        ):
            self.feature(method)(partial(handler))  # pygls writes on what it is given, which a method does not allow

    def report_server_error(self, error: Exception, source: Any) -> None:
        """A message that could not be understood: logged, where pygls would open a window in the editor."""
        self._log(f"a message of the editor could not be handled: {error}")

    # -- what the editor says ------------------------------------------------------------------------------------

    def _initialized(self, params: types.InitializedParams) -> None:
        asyncio.get_running_loop().run_in_executor(self._thread, self._worker.start)
        watch = self._capability("workspace", "did_change_watched_files", "dynamic_registration")
        if watch:
            patterns = ["**/*.py", *(f"**/{name}" for name in CONFIG_FILES)]
            options = types.DidChangeWatchedFilesRegistrationOptions([types.FileSystemWatcher(pattern) for pattern in patterns])
            self.client_register_capability(
                types.RegistrationParams(
                    [types.Registration("mllint-bio-files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)]
                )
            )

    def _opened(self, params: types.DidOpenTextDocumentParams) -> None:
        uri = params.text_document.uri
        path = _path(uri)
        if params.text_document.language_id.lower() == "python" and path:
            self._documents[uri] = Document(uri, path)
            self._schedule(self._documents[uri])

    def _changed(self, params: types.DidChangeTextDocumentParams) -> None:
        document = self._documents.get(params.text_document.uri)
        if document is not None:
            self._schedule(document, DELAY)

    def _saved(self, params: types.DidSaveTextDocumentParams) -> None:
        """Other documents may rest on what was saved: helpers, settings. The saved one comes first."""
        uri = params.text_document.uri
        for document in sorted(self._documents.values(), key=lambda d: d.uri != uri):
            self._schedule(document)

    def _closed(self, params: types.DidCloseTextDocumentParams) -> None:
        document = self._documents.pop(params.text_document.uri, None)
        if document is not None:
            document.latest = -1
            self._publish(document, None, [])

    def _files_changed(self, params: types.DidChangeWatchedFilesParams) -> None:
        for document in self._documents.values():
            self._schedule(document, DELAY)

    # -- checking ------------------------------------------------------------------------------------------------

    def _schedule(self, document: Document, delay: float = 0.0) -> None:
        document.latest = next(self._numbers)
        task = asyncio.get_running_loop().create_task(self._check(document, document.latest, delay))
        self._tasks.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a fault of the server itself; nobody else would hear of it
            self._log(f"a check failed: {type(error).__name__}: {error}")

    async def _check(self, document: Document, number: int, delay: float) -> None:
        await asyncio.sleep(delay)
        async with self._turn:
            if document.latest != number:
                return
            version, text = self._text(document)
            question = Question(document.path, {one.path: self._text(one)[1] for one in self._documents.values()})
            try:
                answer = await asyncio.get_running_loop().run_in_executor(self._thread, self._worker.ask, question)
            except WorkerError as error:
                answer = Answer(failure=str(error))
        if document.latest == number:
            self._publish(document, version, self._diagnostics(document, text, answer))

    def _text(self, document: Document) -> tuple[int | None, str]:
        held = self.workspace.get_text_document(document.uri)
        return held.version, held.source

    def _diagnostics(self, document: Document, text: str, answer: Answer) -> list[types.Diagnostic]:
        """What to show for an answer. Of a text that cannot be analysed: the last good diagnostics and why it cannot."""
        if answer.failure:
            self._tell(document, answer)
            return moved(document.good, document.uri, document.good_text, text)
        document.told = ""
        codec, related = (
            self.workspace.position_codec,
            self._capability("text_document", "publish_diagnostics", "related_information"),
        )
        messages = Messages(document.uri, document.path, text, codec, bool(related))
        problems = messages.problems(answer)
        if not answer.parsed:
            return [*moved(document.good, document.uri, document.good_text, text), *problems]
        document.good, document.good_text = messages.diagnostics(answer), text
        return [*document.good, *problems]

    def _publish(self, document: Document, version: int | None, diagnostics: list[types.Diagnostic]) -> None:
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(document.uri, diagnostics, version))

    # -- what the user must know ---------------------------------------------------------------------------------

    def _tell(self, document: Document, answer: Answer) -> None:
        """Log a failure; one that the user must mend is shown once, however many documents it concerns."""
        if not answer.wrong_setup:
            self._log(f"{document.path}: {answer.failure}; its last good diagnostics stay")
        elif answer.failure not in [one.told for one in self._documents.values()]:
            self._log(answer.failure)
            self.window_show_message(types.ShowMessageParams(types.MessageType.Error, f"mllint-bio: {answer.failure}"))
        document.told = answer.failure if answer.wrong_setup else document.told

    def _log(self, message: str) -> None:
        self.window_log_message(types.LogMessageParams(types.MessageType.Error, message))

    def _capability(self, *names: str) -> Any:
        """A capability of the editor by its path, None if it does not say."""
        value: Any = self.client_capabilities
        for name in names:
            value = getattr(value, name, None)
        return value


def _path(uri: str) -> str:
    """Where a document lies, as the project sees it; `<uri>` for one without a file, "" for one that is not checked."""
    scheme = uri.partition(":")[0].lower()
    if scheme not in SCHEMES:
        return ""
    path = uris.to_fs_path(uri) if scheme == "file" else None
    if not path:
        return f"<{uri}>"
    head, shadow, tail = path.partition(f"{os.sep}{SHADOW}{os.sep}")
    return os.path.join(head, tail) if shadow else path
