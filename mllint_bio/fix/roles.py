"""What the expressions of statements before a split are: rows of a table, state that was learned from rows, or neither.

Only shapes that are known to treat every row alike, or to sum up rows, are recognised. Everything else is refused, because a
statement can be moved behind a split only if it is clear which part of it belongs to the training rows.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from mllint_bio.fix import rewrite
from mllint_bio.fix.program import Program, Unsafe, key
from mllint_bio.fix.refit import class_name, snake, statistic_of


class Role(Enum):
    """What a value is. ROWS: one entry per sample; CHOSEN: some rows of a table; STATE: learned from rows; OTHER: independent."""

    ROWS = "rows"
    CHOSEN = "chosen rows"
    STATE = "state"
    OTHER = "other"


_BY_ELEMENT = """log log1p log2 log10 sqrt exp expm1 abs absolute sign square clip nan_to_num isnan where arcsinh sinh tanh
array asarray float32 float64 maximum minimum"""
_BY_ROW = "fillna astype to_numpy toarray todense copy clip replace abs to_frame drop div sub mul add"
_OF_COLUMNS = """ttest_ind mannwhitneyu f_oneway ks_2samp kruskal f_classif chi2 f_regression r_regression mutual_info_classif
mutual_info_regression"""
_ELEMENTWISE = frozenset(_BY_ELEMENT.split())
_ROW_METHODS = frozenset(_BY_ROW.split())
_TESTS = frozenset(_OF_COLUMNS.split())
_FUNCTION_FORMS = {
    "scale": "StandardScaler",
    "minmax_scale": "MinMaxScaler",
    "maxabs_scale": "MaxAbsScaler",
    "robust_scale": "RobustScaler",
    "quantile_transform": "QuantileTransformer",
    "power_transform": "PowerTransformer",
}
NO_TRANSFORM = frozenset(
    {"TSNE", "MDS", "SpectralEmbedding", "DBSCAN", "HDBSCAN", "OPTICS", "SpectralClustering", "AgglomerativeClustering"}
)
_KEEP_COLUMNS = ("Scaler", "Imputer", "QuantileTransformer", "PowerTransformer")
_SAME_FOR_ALL_ROWS = frozenset({"columns", "dtype", "dtypes"})


@dataclass
class Part:
    """Names of one part of the split by key of the split expression. `test`: not the training part."""

    names: dict[str, str]
    test: bool = False


@dataclass
class Reader:
    """Roles of expressions, given which expressions are rows (by key, see `program.key`) and which names are state.

    labels: the keys among `rows` that are not the table in question; prepared: lines that make objects which an emitted
    expression names; imports: import lines that it needs.
    """

    program: Program
    rows: set[str]
    labels: set[str] = field(default_factory=set)
    states: set[str] = field(default_factory=set)
    prepared: list[str] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    _named: dict[ast.expr, str] = field(default_factory=dict)

    # Roles

    def role(self, node: ast.expr) -> Role:
        """The role of an expression. Raises Unsafe for what is not known."""
        if key(node) in self.rows:
            return Role.ROWS
        match node:
            case ast.Name():
                return Role.STATE if node.id in self.states else Role.OTHER
            case ast.Call():
                return self._call(node)
            case ast.BinOp():
                return self._mixed(node.left, node.right)
            case ast.UnaryOp():
                return self.role(node.operand)
            case ast.Compare() if len(node.comparators) == 1:
                return self._mixed(node.left, node.comparators[0])
            case ast.Subscript():
                return self._subscript(node)
            case ast.Attribute():
                of = self.role(node.value)
                if of is Role.ROWS and node.attr in _SAME_FOR_ALL_ROWS:
                    return Role.STATE
                if of is Role.ROWS and node.attr not in ("values", "index", "T"):
                    raise Unsafe(f"it is not known what `.{node.attr}` of the table is")
                if of is Role.ROWS and node.attr == "T":
                    raise Unsafe("the table is turned")
                return of
        if self._touched(node):
            raise Unsafe("it is not known what this expression makes of the rows")
        return Role.OTHER

    def _touched(self, node: ast.AST) -> bool:
        return any(key(n) in self.rows or isinstance(n, ast.Name) and n.id in self.states for n in ast.walk(node))

    def _mixed(self, *nodes: ast.expr) -> Role:
        roles = {self.role(node) for node in nodes}
        if Role.CHOSEN in roles:
            raise Unsafe("rows are chosen")
        return next((role for role in (Role.ROWS, Role.STATE) if role in roles), Role.OTHER)

    def _subscript(self, node: ast.Subscript) -> Role:
        base = node.value
        located = isinstance(base, ast.Attribute) and base.attr in ("loc", "iloc")
        of = self.role(base.value if located and isinstance(base, ast.Attribute) else base)
        if of is not Role.ROWS:
            if of is Role.OTHER and self._touched(node.slice):
                raise Unsafe("rows are chosen by the table")
            return of
        index = node.slice
        if isinstance(index, ast.Tuple) and len(index.elts) == 2 and _everything(index.elts[0]):
            if self.role_of_index(index.elts[1]) in (Role.STATE, Role.OTHER):
                return Role.ROWS
        elif not located and self._named_columns(index) and not self._touched(index):
            return Role.ROWS
        elif not located and any(isinstance(n, ast.Attribute) and n.attr == "columns" for n in ast.walk(index)):
            if self.role_of_index(index) in (Role.STATE, Role.OTHER):
                return Role.ROWS
        elif isinstance(index, ast.Compare) and self.role(index) is Role.ROWS:
            return Role.CHOSEN
        raise Unsafe("rows of the table are chosen before the split")

    def _named_columns(self, index: ast.expr) -> bool:
        """Whether an index is texts, or a name for them: columns, not rows."""
        if not isinstance(index, ast.Name):
            return _columns(index)
        try:
            made = self.program.definition(index, index)
        except Unsafe:
            return False
        return _columns(made) or any(isinstance(n, ast.Attribute) and n.attr == "columns" for n in ast.walk(made))

    def role_of_index(self, node: ast.expr) -> Role:
        """The role of a choice of columns."""
        if isinstance(node, ast.Slice):
            parts = [part for part in (node.lower, node.upper, node.step) if part is not None]
            return self._mixed(*parts) if parts else Role.OTHER
        return self.role(node)

    def _call(self, node: ast.Call) -> Role:
        if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
            if self._touched(node):
                raise Unsafe("arguments are not plain")
            return Role.OTHER
        arguments = [*node.args, *(k.value for k in node.keywords)]
        kind = self.fit_kind(node)
        if kind:
            self._fitted_rows(node)
            return Role.STATE if kind == "fit" else Role.ROWS
        table = statistic_of(self.program, node)
        if table is not None and self._touched(node):
            if self.role(table) is not Role.ROWS:
                return self._all_state(arguments, table)
            if any(self._touched(a) for a in arguments if a is not table):
                raise Unsafe("a statistic has unusual arguments")
            return Role.STATE
        name = class_name(node)
        api = self.program.dotted(node.func)
        roles = [self.role(a) for a in arguments]
        if name in _TESTS and api:
            if not {Role.ROWS, Role.CHOSEN} & set(roles):
                raise Unsafe("a test is not made on rows")
            return Role.STATE
        if Role.CHOSEN in roles:
            raise Unsafe("rows are chosen")
        if api in (f"numpy.{name}", "pandas.DataFrame") or api in ("torch.tensor", "torch.from_numpy", "torch.as_tensor"):
            if not (name in _ELEMENTWISE or name in ("DataFrame", "tensor", "from_numpy", "as_tensor")):
                if Role.ROWS in roles or Role.STATE in roles and name not in ("flatnonzero", "argsort", "nonzero"):
                    raise Unsafe(f"it is not known what `{name}` makes of the rows")
                return self._best(roles)
            if roles and Role.ROWS in roles and roles[0] is not Role.ROWS and name != "where":
                raise Unsafe("the rows are not the first argument")
            if name == "DataFrame" and Role.ROWS in roles and not _keyword(node, "index") and self._frame(node) is None:
                raise Unsafe("the index of the new data frame is not that of the rows")
            return self._best(roles)
        if isinstance(node.func, ast.Attribute):
            of = self.role(node.func.value)
            if of is Role.ROWS and not (node.func.attr in _ROW_METHODS and Role.ROWS not in roles and self._by_column(node)):
                raise Unsafe(f"it is not known what `.{node.func.attr}()` makes of the rows")
            if of is not Role.ROWS and Role.ROWS in roles:
                raise Unsafe("rows are given to an unknown method")
            return self._best([of, *roles])
        if Role.ROWS in roles or Role.STATE in roles and name not in ("list", "len", "int", "float", "dict", "sorted", "print"):
            raise Unsafe(f"it is not known what `{name}` makes of the rows")
        return self._best(roles)

    @staticmethod
    def _best(roles: list[Role]) -> Role:
        return next((role for role in (Role.ROWS, Role.STATE) if role in roles), Role.OTHER)

    def _all_state(self, arguments: list[ast.expr], table: ast.expr) -> Role:
        roles = [self.role(node) for node in (*arguments, table)]
        if Role.ROWS in roles or Role.CHOSEN in roles:
            raise Unsafe("a statistic has unusual arguments")
        return self._best(roles)

    @staticmethod
    def _by_column(node: ast.Call) -> bool:
        """Whether `drop` takes columns away, and `fillna` fills with a value and not from the rows around."""
        keywords = {k.arg: k.value for k in node.keywords}
        assert isinstance(node.func, ast.Attribute)
        if "inplace" in keywords:
            return False
        if node.func.attr == "drop":
            axis = keywords.get("axis", node.args[1] if len(node.args) > 1 else None)
            return "columns" in keywords or isinstance(axis, ast.Constant) and axis.value in (1, "columns")
        if node.func.attr == "fillna":
            return "method" not in keywords
        return "axis" not in keywords

    def _frame(self, node: ast.Call) -> ast.expr | None:
        """The table whose columns a new data frame gets."""
        columns = _keyword(node, "columns")
        frame = columns.value if isinstance(columns, ast.Attribute) and columns.attr == "columns" else None
        return frame if frame is not None and key(frame) in self.rows else None

    def _needs_index(self, node: ast.Call) -> bool:
        """Whether a data frame is made that gets a new index: the parts need that of their rows, to go with their labels."""
        made = self.program.dotted(node.func) == "pandas.DataFrame" and self._frame(node) is not None
        return made and _keyword(node, "index") is None

    # Fits

    def fit_kind(self, node: ast.Call) -> str:
        """`fit`, `fit_transform`, `transform` or `function` if the call is one on rows, else empty."""
        func = node.func
        if isinstance(func, ast.Attribute) and func.attr in ("fit", "fit_transform", "transform"):
            return func.attr if self._rows_of(node) is not None else ""
        api = self.program.dotted(func)
        if api == f"sklearn.preprocessing.{class_name(node)}" and class_name(node) in _FUNCTION_FORMS and node.args:
            return "function"
        return "function" if api == "scipy.stats.zscore" and node.args else ""

    @staticmethod
    def _rows_of(node: ast.Call) -> ast.expr | None:
        return node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "X"), None)

    def _fitted_rows(self, node: ast.Call) -> None:
        """See that a fit is one that can be repeated on a part of the rows. Raises Unsafe otherwise."""
        rows = self._rows_of(node)
        if rows is None or self.role(rows) is not Role.ROWS:
            raise Unsafe("the fit is not on rows")
        if self.fit_kind(node) == "function":
            self._class_form(node)
            return
        others = [a for a in [*node.args, *(k.value for k in node.keywords)] if a is not rows]
        if any(key(a) not in self.labels for a in others):
            raise Unsafe("the labels of the fit are not divided by the split")
        assert isinstance(node.func, ast.Attribute)
        maker = node.func.value
        if isinstance(maker, ast.Name):
            if self.program.imports.get(maker.id):
                raise Unsafe("the transform is a module")
            made = self.program.definition(maker, maker) if maker.id not in self.states else None
        else:
            made = maker
        if made is not None and not (isinstance(made, ast.Call) and self.maker(made)):
            raise Unsafe("it is not plain what is fitted")

    def maker(self, node: ast.Call) -> bool:
        """Whether a call makes a transform of a library, and touches no rows."""
        if self._touched(node) or class_name(node) in NO_TRANSFORM:
            return False
        return bool(self.program.dotted(node.func))

    def _class_form(self, node: ast.Call) -> str:
        """The constructor for `scale(X)` and the like. Raises Unsafe if there is none."""
        name = class_name(node)
        axis = next((k.value for k in node.keywords if k.arg == "axis"), None)
        if len(node.args) != 1 or (axis is not None and not (isinstance(axis, ast.Constant) and axis.value == 0)):
            raise Unsafe("it works along the rows, or its arguments are not plain")
        given = [k for k in node.keywords if k.arg != "axis"]
        if name == "zscore":
            if given:
                raise Unsafe("z-scores with options")
            return ""
        said, lines = self.program.importing("sklearn.preprocessing", _FUNCTION_FORMS[name])
        self.imports += lines
        return f"{said}({', '.join(f'{k.arg}={self.program.text(k.value)}' for k in given)})"

    def keeps_columns(self, value: ast.expr) -> bool:
        """Whether rows come out with the columns that they went in with."""
        for node in ast.walk(value):
            if isinstance(node, ast.Subscript) or isinstance(node, ast.Attribute) and node.attr == "drop":
                return False
            if isinstance(node, ast.Call) and self.fit_kind(node) in ("fit_transform", "transform"):
                maker = node.func.value if isinstance(node.func, ast.Attribute) else None
                try:
                    made = self.program.definition(maker, maker) if isinstance(maker, ast.Name) else maker
                except Unsafe:
                    return False
                while isinstance(made, ast.Call) and isinstance(made.func, ast.Attribute) and made.func.attr == "fit":
                    made = made.func.value  # `StandardScaler().fit(X)`
                if not isinstance(made, ast.Call) or not class_name(made).endswith(_KEEP_COLUMNS):
                    return False
        return True

    # Emission

    def train_first(self, value: ast.expr) -> bool:
        """Whether the training rows must be made before the others (an object is fitted in between), or after them (the others
        need the training rows as they were). Raises Unsafe if both."""
        calls = [n for n in ast.walk(value) if isinstance(n, ast.Call)]
        fits = [n for n in calls if self.fit_kind(n) in ("fit", "fit_transform", "function") and not self._zscore(n)]
        sums = [n for n in calls if self._sums(n) or self._zscore(n)]
        if fits and sums:
            raise Unsafe("a fit and a statistic in one statement")
        return not sums

    def sums_up(self, statement: ast.stmt) -> bool:
        """Whether a statement takes a statistic of the rows by hand: mean and deviation of one table are one fault."""
        assigned = isinstance(statement, ast.Assign)
        return assigned and any(isinstance(n, ast.Call) and self._sums(n) for n in ast.walk(statement))

    def _sums(self, node: ast.Call) -> bool:
        table = statistic_of(self.program, node)
        if table is None or not any(key(n) in self.rows - self.labels for n in ast.walk(table)):
            return False
        return self.role(table) is Role.ROWS

    def _zscore(self, node: ast.Call) -> bool:
        return class_name(node) == "zscore" and self.fit_kind(node) == "function"

    def emit(self, node: ast.expr | ast.stmt, part: Part, train: Part) -> str:
        """The source of an expression or statement for one part of the split, state being learned from the training part."""
        new = {inner: self._emitted(inner, part, train) for inner in self._special(node)}
        text = self.program.rewritten(node, new)
        return text if "\n" not in text or isinstance(node, ast.stmt) or _parses(text) else f"({text})"

    def _special(self, node: ast.AST) -> Iterator[ast.expr]:
        """The outermost nodes that read differently for different parts."""
        if isinstance(node, ast.expr) and self._is_special(node):
            yield node
            return
        for child in ast.iter_child_nodes(node):
            yield from self._special(child)

    def _is_special(self, node: ast.expr) -> bool:
        if key(node) in self.rows:
            return True
        return isinstance(node, ast.Call) and bool(
            self.fit_kind(node) and self._touched(node) or self._sums(node) or self._needs_index(node)
        )

    def _emitted(self, node: ast.expr, part: Part, train: Part) -> str:
        if key(node) in self.rows:
            if key(node) not in part.names:
                raise Unsafe("the labels are not divided by the split")
            return part.names[key(node)]
        assert isinstance(node, ast.Call)
        frame = self._frame(node)
        if frame is not None and self._needs_index(node):
            indexed = rewrite.with_argument(self._inside(node, part, train), "index", f"{part.names[key(frame)]}.index")
            if indexed is None:
                raise Unsafe("arguments are not plain")
            return indexed
        kind = self.fit_kind(node)
        if not kind:
            return self._inside(node, train, train)
        rows = self._rows_of(node)
        assert rows is not None
        if self._zscore(node):
            here, there = self.emit(rows, part, train), self.emit(rows, train, train)
            numpy, lines = self.program.importing("numpy", alias="np")
            self.imports += lines
            return f"({here} - {numpy}.mean({there}, axis=0)) / {numpy}.std({there}, axis=0)"
        if kind == "fit":
            return self._inside(node, train, train)
        name = self._object(node)
        if kind == "transform" or part.test:
            return f"{name}.transform({self.emit(rows, part, train)})"
        others = [self.emit(a, train, train) for a in [*node.args, *(k.value for k in node.keywords)] if a is not rows]
        if kind == "function":
            others = []
        return f"{name}.fit_transform({', '.join([self.emit(rows, part, train), *others])})"

    def _inside(self, node: ast.Call, part: Part, train: Part) -> str:
        new = {inner: self._emitted(inner, part, train) for child in ast.iter_child_nodes(node) for inner in self._special(child)}
        return self.program.rewritten(node, new)

    def _object(self, node: ast.Call) -> str:
        """The name of the object that a call fits; one that has none gets a name."""
        function = self.fit_kind(node) == "function"
        if not function and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            return node.func.value.id
        if node not in self._named:
            if function:
                made = self._class_form(node)
                wanted = snake(_FUNCTION_FORMS[class_name(node)])
            else:
                assert isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call)
                made = self.program.text(node.func.value)
                wanted = snake(class_name(node.func.value))
            name = self.program.fresh(wanted)
            while name in self._named.values():
                name += "_"
            self._named[node] = name
            self.prepared.append(f"{name} = {made}")
        return self._named[node]


def _keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((k.value for k in node.keywords if k.arg == name), None)


def _everything(node: ast.expr) -> bool:
    return isinstance(node, ast.Slice) and node.lower is None and node.upper is None and node.step is None


def _columns(node: ast.expr) -> bool:
    """Whether an index names columns: a text, a list of texts."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    return isinstance(node, ast.List) and bool(node.elts) and all(_columns(element) for element in node.elts)


def _parses(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True
