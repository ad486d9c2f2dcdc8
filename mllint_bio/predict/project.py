"""The project around a file: its modules, how imports resolve inside it, and which scripts drive which modules.

Imports are looked up as a person's interpreter would find them: relative to the package, beside the importing file, at the
project root, in `src/`, and in directories that the program adds to `sys.path`. What is no plain file or package there is left
to astroid's module machinery; what lies outside the project is a library and stays a name (`mllint_bio.catalog` knows what it
means).
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mllint_bio import sources
from mllint_bio.catalog import catalogued, import_names, with_role
from mllint_bio.predict import skeleton as skeletons
from mllint_bio.sources import SourceUnit

if TYPE_CHECKING:
    from mllint_bio.events import Site
    from mllint_bio.predict.ir import Node
    from mllint_bio.predict.library.handover import Product
    from mllint_bio.predict.skeleton import Skeleton
    from mllint_bio.predict.values import Const
    from mllint_bio.sources import Problem

_MAX_INDEXED = 4000
_PIPELINE = 60  # files of one folder that may write each other's tables
_LARGEST = 2_000_000  # bytes of such a file
_R_NOTEBOOK = re.compile(rb'"language"\s*:\s*"R"')
_SEARCH_PATH = re.compile(r"^[ \t]*sys\.path\.(?:append|insert)\(([^\n]*)", re.MULTILINE)
_LITERAL = re.compile(r"""(["'])([^"'\n]+)\1""")
_IMPORT_LINE = re.compile(rb"^[ \t]*(?:from|import)\b[^\n]*", re.MULTILINE)
_SUFFIXES = frozenset({".py", ".ipynb", ".R", ".r", ".Rmd"})
_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([.\w][\w.]*)", re.MULTILINE)


@dataclass(eq=False)
class Module:
    """One file of the project. `package` is the directory that its relative imports start from."""

    path: Path
    unit: SourceUnit
    sites: dict[Node, Site] = field(default_factory=dict, repr=False)  # of its nodes, made when first asked for
    constants: dict[Node, Const] = field(default_factory=dict, repr=False)  # likewise

    @cached_property
    def syntax_problems(self) -> list[Problem]:
        """What keeps the unit from being parsed, without its skeleton: asked for by both phases of a check."""
        return skeletons.syntax_problems(self.unit)

    @cached_property
    def imports_catalogued(self) -> bool:
        """Whether the unit itself imports a library that trains or scores models."""
        return imports_catalogued(self.unit.text.encode("utf-8", "replace"))

    @cached_property
    def import_names(self) -> list[tuple[str, int]]:
        """See `import_names_in`."""
        return import_names_in(self.unit.text)

    @cached_property
    def search_paths(self) -> list[str]:
        """Relative directories that the unit adds to `sys.path` in plain words."""
        found: list[str] = []
        for call in _SEARCH_PATH.findall(self.unit.text):
            words = [word for _, word in _LITERAL.findall(call) if not os.path.isabs(word)]
            found += [os.path.join(*words)] if words and "join" in call else words
        return found

    @cached_property
    def skeleton(self) -> Skeleton:
        """The unit's skeleton, read on first use."""
        return skeletons.read(self.unit)

    @property
    def name(self) -> str:
        """File name without ending."""
        return self.path.stem

    @property
    def package(self) -> Path:
        """Directory of the file."""
        return self.path.parent


class Project:
    """Files of one project, loaded lazily.

    root: directory of the project; load: reads a file; files: all Python files and notebooks of the project (found under the root
    when not given). An overlay replaces a file by unsaved text (editors, standard input).
    """

    def __init__(
        self, root: Path, load: Callable[[Path], SourceUnit] = sources.load, files: Iterable[Path] | None = None
    ) -> None:
        self.root = root.resolve()
        self._load = load
        self._files = None if files is None else [Path(f) for f in files]
        self._modules: dict[Path, Module] = {}
        self._keys: dict[Path, Path] = {}  # paths as they were asked for -> where they really lie
        self._imports: dict[Path, tuple[tuple[int, int], bytes]] = {}
        self._resolved: dict[tuple[str, Path, tuple[str, ...]], Path | None] = {}
        self._held: dict[Path, frozenset[str]] = {}  # what lies in a directory
        self._reach: dict[tuple[Path, int], bool] = {}
        self._writes: dict[
            tuple[Path, str], dict[Path, frozenset[str]]
        ] = {}  # folder, pattern -> program -> files that it writes
        self.products: dict[Path, tuple[dict[str, Product], frozenset[Path]]] = {}  # see `handover`

    def module(self, path: Path) -> Module:
        """The module of a file of the project."""
        key = self._keys.get(path)
        if key is None:
            key = self._keys[path] = Path(path).resolve()
        if key not in self._modules:
            self._modules[key] = Module(key, self._load(key))
        return self._modules[key]

    def overlay(self, unit: SourceUnit, path: Path | None = None) -> Module:
        """Use this unit in place of what is on disk."""
        key = Path(path or unit.path).resolve()
        known = self._modules.get(key)
        made = self._modules[key] = Module(key, unit)
        self._reach.clear()
        if known is not None:
            made.skeleton.reuse(known.skeleton)
        return made

    def adopt(self, unit: SourceUnit) -> Module:
        """The module of a unit that was read already, under the path that the unit shows."""
        key = Path(unit.path).resolve()
        known = self._modules.get(key)
        if known is None or known.unit.digest != unit.digest:
            made = self._modules[key] = Module(key, unit)
            if known is not None:
                self._reach.clear()
                made.skeleton.reuse(known.skeleton)
            return made
        return known

    def drop(self, path: Path) -> None:
        """Forget a file that changed."""
        self._modules.pop(Path(path).resolve(), None)
        self._keys.clear()
        self._resolved.clear()
        self._held.clear()
        self._reach.clear()
        self._writes.clear()
        self.products.clear()
        for cached in ("files", "baselines", "tests_of_models"):
            self.__dict__.pop(cached, None)

    def loaded(self) -> list[Module]:
        """Modules that were read so far."""
        return list(self._modules.values())

    @cached_property
    def index(self) -> dict[str, list[Path]]:
        """Module or package name -> files or directories of the project that bear it; the last resort for altered search
        paths."""
        found: dict[str, list[Path]] = {}
        for path in self.files[:_MAX_INDEXED]:
            if path.suffix != ".py":
                continue
            name = path.parent.name if path.name == "__init__.py" else path.stem
            found.setdefault(name, []).append(path.parent if path.name == "__init__.py" else path)
        return found

    @cached_property
    def baselines(self) -> bool | None:
        """Whether some file of the project names a conventional model; None for a project with too many files to look, or
        with R code, whose packages are not all known here.

        By text, so that the answer does not depend on which files are checked.
        """
        if len(self.files) >= _MAX_INDEXED:
            return None
        read = (module.unit.text.encode("utf-8", "replace") for module in self._modules.values())
        other_language = False
        for data in itertools.chain(read, map(_bytes, self.files)):
            if _names_baseline(data):
                return True
            other_language = other_language or bool(_R_NOTEBOOK.search(data))
        return None if other_language or any(path.suffix in (".R", ".r", ".Rmd", ".qmd") for path in self.files) else False

    @cached_property
    def tests_of_models(self) -> frozenset[Path]:
        """Files that put stored weights back, name a test part and train nothing: where a project scores its final model.

        By text, so that the answer does not depend on which files are checked; empty for a project with too many files to look.
        """
        if len(self.files) >= _MAX_INDEXED:
            return frozenset()
        texts = ((path, _bytes(path)) for path in self.files)
        return frozenset(
            path for path, data in texts if _RESTORES.search(data) and _TEST_PART.search(data) and not _TRAINS.search(data)
        )

    def writer(self, file: str, reader: Path) -> Path | None:
        """The program beside `reader` that writes this file, by text; None if several do, or if the folder has too many.

        A file with a whole path may be written by a program of a folder beside that of `reader`.
        """
        found = [path for path in self._writers(file, reader.parent, "*") if path != reader]
        if not found and os.path.isabs(file) and reader.parent != self.root:
            found = self._writers(file, reader.parent.parent, "*/*")
        return found[0] if len(found) == 1 else None

    def _writers(self, file: str, folder: Path, pattern: str) -> list[Path]:
        if (folder, pattern) not in self._writes:
            self._writes[folder, pattern] = {
                path: frozenset(name.decode("utf-8", "replace") for name in _WRITES.findall(_bytes(path)))
                for path in _programs(folder, pattern)
            }
        return [path for path, files in self._writes[folder, pattern].items() if file in files]

    def consulted(self, reader: Path) -> set[str]:
        """Files beside a program that were looked through for what they write."""
        folders = (reader.parent, "*"), (reader.parent.parent, "*/*")
        return {str(path) for key in folders for path in self._writes.get(key, ())}

    @cached_property
    def files(self) -> list[Path]:
        """Source files of the project."""
        return self._files if self._files is not None else _walk(self.root)

    # -- resolution ----------------------------------------------------------------------------------------------

    def resolve(self, dotted: str, level: int, importer: Module) -> Path | None:
        """File of the module that `importer` means by `dotted` (with `level` leading dots); None if it is not in the project."""
        key = (("." * level) + dotted, importer.package, tuple(importer.search_paths))
        if key not in self._resolved:
            self._resolved[key] = self._find(dotted, level, importer)
        return self._resolved[key]

    def _find(self, dotted: str, level: int, importer: Module) -> Path | None:
        if level:
            base = importer.package
            for _ in range(level - 1):
                base = base.parent
            return _below(base, dotted) if dotted else _below(base.parent, base.name)
        top = dotted.split(".", 1)[0]
        added = (Path(os.path.normpath(base / word)) for base in (importer.package, self.root) for word in importer.search_paths)
        places = [importer.package, *added, self.root, self.root / "src"]
        parent = importer.package
        while parent != self.root and self.root in parent.parents:
            parent = parent.parent
            places.append(parent)
        for place in dict.fromkeys(places):
            if self._holds(place, top):
                found = _below(place, dotted)
                if found is not None and found != importer.path:
                    return found
        if catalogued(top) or top in _STANDARD:
            return None
        candidates = self.index.get(top, [])
        if len(candidates) == 1:  # `sys.path` was altered in a way that cannot be read: the name is unique in the project
            return _below(candidates[0].parent, dotted)
        return None

    def _holds(self, place: Path, top: str) -> bool:
        """Whether a module or a folder of this name lies in a directory."""
        names = self._held.get(place)
        if names is None:
            try:
                names = frozenset(os.listdir(place))
            except OSError:
                names = frozenset()
            self._held[place] = names
        return f"{top}.py" in names or (top in names and os.path.isdir(os.path.join(place, top)))

    def reaches_catalog(self, module: Module, depth: int) -> bool:
        """Whether a project module that this one imports, or, up to so many imports away, that those import, uses a catalogued
        library (a driver script)."""
        key = (module.path, depth)
        if key not in self._reach:
            found = (self.resolve(dotted, level, module) for dotted, level in module.import_names)
            below = [self.module(path) for path in dict.fromkeys(found) if path is not None and path != module.path]
            self._reach[key] = any(one.imports_catalogued for one in below) or (
                depth > 1 and any(self.reaches_catalog(one, depth - 1) for one in below)
            )
        return self._reach[key]

    # -- drivers -------------------------------------------------------------------------------------------------

    def drivers(self, module: Module, limit: int = 6) -> list[Module]:
        """Scripts and notebooks of the project that import this module: they say what data its functions get."""
        name = module.package.name if module.path.name == "__init__.py" else module.name
        pattern = re.compile(rb"^[ \t]*(?:from|import)\b[^\n]*\b" + re.escape(name.encode()) + rb"\b", re.MULTILINE)
        found: list[Module] = []
        for path in self.files[:_MAX_INDEXED]:
            if path.suffix == ".py" and pattern.search(self._main_imports(path)) and path.resolve() != module.path:
                found.append(self.module(path))
                if len(found) >= limit:
                    break
        return found

    def _main_imports(self, path: Path) -> bytes:
        """Import lines of a script with a main guard (empty for other files), read again only when the file changes."""
        try:
            stat = path.stat()
            key = (stat.st_mtime_ns, stat.st_size)
            known = self._imports.get(path)
            if known is None or known[0] != key:
                data = path.read_bytes()
                lines = b"\n".join(_IMPORT_LINE.findall(data)) if b"__main__" in data else b""
                known = self._imports[path] = (key, lines)
        except OSError:
            return b""
        return known[1]


_WRITES = re.compile(
    rb"(?:\.to_(?:csv|excel|pickle|parquet|feather)|\bnp\.save|\bnumpy\.save|\bdump)\((?:[^()\n]*,)?\s*[rR]?\\?[\"']([^\"'\\\n]+)\\?[\"']"
)
_RESTORES = re.compile(
    rb"load_state_dict\(|load_weights\(|load_model\(|load_from_checkpoint\(|latest_checkpoint\(|joblib\.load\("
)
_TEST_PART = re.compile(
    rb"\btest_?(?:loader|dataloader|dl|ds|dataset|set|data|gen|generator|df|images|iter)\b|\b(?:[Xx]|ds)_?test\b|[\"']test[\"']",
    re.I,
)
_TRAINS = re.compile(rb"\.backward\(|\.fit(?:_generator)?\(|\.train_on_batch\(|\bTrainer\(")


_CALLED_BASELINE = re.compile(
    rb"(?i:baseline[_ ]?(?:model|classifier|predict|pred\b|preds\b|score|rmse|acc)"
    rb"|(?:mean|majority|naive|linear|simple)[_ ]baseline)"
)


@cache
def _baseline_names() -> tuple[tuple[bytes, ...], re.Pattern[bytes]]:
    """Names of conventional models, and what matches one of them as a word: classes of the catalog, boosting libraries, and the
    packages that R users take."""
    classes = {entry.path.rpartition(".")[2] for entry in with_role("estimator.baseline")}
    named = sorted(name for name in classes if name[:1].isupper())
    others = ("xgboost", "lightgbm", "catboost", "glmnet", "randomForest", "ranger", "e1071", "caret", "tidymodels")
    names = tuple(name.encode() for name in (*named, *others))
    return names, re.compile(rb"\b(?:" + b"|".join(names) + rb")\b")


def _names_baseline(data: bytes) -> bool:
    """Whether a text names a conventional model, or what its author calls a baseline, whatever it is made of."""
    names, words = _baseline_names()
    # Looking for plain strings first is five times as fast: notebooks hold megabytes of pictures.
    if any(name in data for name in names) and words.search(data):
        return True
    return b"baseline" in data.lower() and _CALLED_BASELINE.search(data) is not None


def _programs(folder: Path, pattern: str) -> list[Path]:
    """Programs of a folder, or of the folders in it, unless there are too many for one pipeline."""
    try:
        found = sorted(path for path in folder.glob(pattern) if path.suffix in (".py", ".ipynb"))
        return [path for path in found if path.stat().st_size <= _LARGEST] if len(found) <= _PIPELINE else []
    except OSError:
        return []


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


_IMPORTED = re.compile(
    r"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]*(?:\(([^)]*)\)|([^\n#;]*))|(?:from|import)[ \t]+([.\w][\w.]*))", re.MULTILINE
)
_MEMBER = re.compile(r"(?:^|,)\s*(\w+)")


def import_names_in(text: str) -> list[tuple[str, int]]:
    """(dotted name, leading dots) of the modules that a source names in import lines, found without parsing it. What is imported
    from a package may be a module of it."""
    names: set[str] = set()
    for match in _IMPORTED.finditer(text):
        package, listed, inline, plain = match.groups()
        names.add(package or plain)
        if package:
            stem = package if package.endswith(".") else f"{package}."
            names.update(stem + member for member in _MEMBER.findall(listed or inline or ""))
    return [(name.lstrip("."), len(name) - len(name.lstrip("."))) for name in sorted(names)]


def imports_catalogued(data: bytes) -> bool:
    """Byte-level triage: whether a source imports a library that the catalog describes and that trains or scores models."""
    names = _TRAINING_LIBRARIES
    return any(match.group(1).split(b".", 1)[0] in names for match in _IMPORT.finditer(data))


# The standard library is catalogued for seeds and sinks; importing only it makes no training program.
_STANDARD = frozenset(
    {
        "random",
        "os",
        "glob",
        "pathlib",
        "copy",
        "time",
        "secrets",
        "uuid",
        "argparse",
        "configparser",
        "json",
        "pickle",
        "logging",
        "builtins",
        "functools",
        "itertools",
        "csv",
        "shutil",
        "datetime",
        "collections",
        "warnings",
        "sys",
        "re",
        "math",
        "typing",
        "string",
        "io",
        "subprocess",
    }
)
_AUXILIARY = frozenset(
    {"yaml", "click", "hydra", "omegaconf", "matplotlib", "seaborn", "tqdm", "joblib", "wandb", "mlflow", "h5py", "dill"}
    | {"cloudpickle"}
)
_TRAINING_LIBRARIES = frozenset(name.encode() for name in import_names() - _STANDARD - _AUXILIARY)


def _below(place: Path, dotted: str) -> Path | None:
    """File of the dotted module below a directory: the package or module of that path, else what astroid's finder makes of it."""
    parts = dotted.split(".")
    plain = os.path.join(place, *parts)
    for name in (os.path.join(plain, "__init__.py"), f"{plain}.py"):
        if os.path.isfile(name):
            return Path(name).resolve()
    if len(parts) > 1 and not os.path.exists(plain):
        return None  # a name that a module or a package defines, most often
    from astroid import modutils  # costs as much as all of the linter's start, and is hardly ever needed

    try:
        spec = modutils.file_info_from_modpath(parts, path=[str(place)])
    except (ImportError, ValueError, OSError, SyntaxError):
        spec = None
    location = getattr(spec, "location", None)
    if location:
        file = Path(location)
        if file.is_dir():
            file = file / "__init__.py"
        if file.suffix == ".py" and file.is_file() and place.resolve() in file.resolve().parents:
            return file.resolve()
    return None


def _walk(root: Path) -> list[Path]:
    """Python files under the root, skipping what is never part of a project."""
    found: list[Path] = []
    stack = [root]
    while stack and len(found) < _MAX_INDEXED:
        folder = stack.pop()
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.is_symlink():
                continue
            if entry.is_dir():
                if not entry.name.startswith(".") and entry.name not in (
                    "node_modules",
                    "site-packages",
                    "__pycache__",
                    "venv",
                    "build",
                    "dist",
                ):
                    stack.append(entry)
            elif entry.suffix in _SUFFIXES:
                found.append(entry)
    return found
