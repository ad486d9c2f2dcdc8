"""An editor for tests: pytest-lsp's client, with every published message kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.protocol import default_converter
from pytest_lsp.client import DEFAULT_CLIENT_FEATURES, LanguageClient, register_lsp_features

PUBLISH = types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS
SECONDS = 60  # after which a server that says nothing is taken for dead


class Editor(LanguageClient):
    """Opens, changes and closes documents, and waits for what the server says about them."""

    def __init__(self) -> None:
        super().__init__(converter_factory=default_converter)
        self.published: list[types.PublishDiagnosticsParams] = []
        self._news = asyncio.Event()
        self._versions: dict[str, int] = {}
        register_lsp_features(self, {**DEFAULT_CLIENT_FEATURES, PUBLISH: self._receiver()})

    def _receiver(self) -> Any:
        def receive(client: Editor, params: types.PublishDiagnosticsParams) -> None:
            client.published.append(params)
            client._news.set()

        return receive

    async def start(self, **capabilities: Any) -> types.InitializeResult:
        """Say hello; by default as an editor that shows related information."""
        related = types.PublishDiagnosticsClientCapabilities(related_information=True)
        capabilities = capabilities or {"text_document": types.TextDocumentClientCapabilities(publish_diagnostics=related)}
        return await self.initialize_session(types.InitializeParams(types.ClientCapabilities(**capabilities)))

    def open(self, uri: Path | str, text: str, language: str = "python") -> str:
        """Open a document with a text that need not be on disk; returns its URI."""
        uri = uri.as_uri() if isinstance(uri, Path) else uri
        version = self._versions[uri] = self._versions.get(uri, 0) + 1
        self.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, language, version, text)))
        return uri

    def change(self, uri: str, text: str) -> None:
        """Replace the text of a document."""
        version = self._versions[uri] = self._versions.get(uri, 0) + 1
        whole = types.TextDocumentContentChangeWholeDocument(text)
        identifier = types.VersionedTextDocumentIdentifier(version, uri)
        self.text_document_did_change(types.DidChangeTextDocumentParams(identifier, [whole]))

    def save(self, uri: str) -> None:
        """Say that a document was saved."""
        self.text_document_did_save(types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(uri)))

    def close(self, uri: str) -> None:
        """Close a document."""
        self.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))

    async def next(self, uri: str) -> list[types.Diagnostic]:
        """The next diagnostics for the latest version of a document (those of older ones stay in `published`)."""
        start = len(self.published)

        async def wait() -> list[types.Diagnostic]:
            seen = start
            while True:
                for params in self.published[seen:]:
                    seen += 1
                    if params.uri == uri and params.version in (self._versions[uri], None):
                        return list(params.diagnostics)
                self._news.clear()
                await self._news.wait()

        return await asyncio.wait_for(wait(), SECONDS)

    async def look(self, uri: Path | str, text: str, language: str = "python") -> list[types.Diagnostic]:
        """Open a document and wait for its diagnostics."""
        return await self.next(self.open(uri, text, language))

    async def edit(self, uri: str, text: str) -> list[types.Diagnostic]:
        """Change a document and wait for its diagnostics."""
        self.change(uri, text)
        return await self.next(uri)

    def versions(self, uri: str) -> list[int | None]:
        """Versions for which diagnostics were published."""
        return [params.version for params in self.published if params.uri == uri]

    def logged(self) -> str:
        """All log messages."""
        return "\n".join(message.message for message in self.log_messages)
