"""LibCST on one expression: arguments of a call are added or replaced, everything else keeps its formatting."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst


def with_argument(call: str, keyword: str, value: str) -> str | None:
    """The text of a call with `keyword=value`, in place of an argument of that name or behind the others.

    None for what is no call, and where `**arguments` may hold the keyword already.
    """
    node = _call(call)
    if node is None or any(argument.star == "**" for argument in node.args):
        return None
    new = cst.parse_expression(value)
    for index, argument in enumerate(node.args):
        if argument.keyword is not None and argument.keyword.value == keyword:
            arguments = [*node.args[:index], argument.with_changes(value=new), *node.args[index + 1 :]]
            return _text(node.with_changes(args=arguments))
    added = cst.Arg(value=new, keyword=cst.Name(keyword), equal=_EQUAL)
    return _text(node.with_changes(args=[*_separated(node.args), _like_last(added, node)]))


_EQUAL = cst.AssignEqual(whitespace_before=cst.SimpleWhitespace(""), whitespace_after=cst.SimpleWhitespace(""))


def _call(text: str) -> cst.Call | None:
    try:
        node = cst.parse_expression(text)
    except cst.ParserSyntaxError:
        return None
    return node if isinstance(node, cst.Call) else None


def _text(node: cst.BaseExpression) -> str:
    return cst.Module([]).code_for_node(node)


def _separated(arguments: Sequence[cst.Arg]) -> list[cst.Arg]:
    """Arguments that others follow on the same line: line breaks and comments behind the last one are not repeated."""
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    nothing = cst.SimpleWhitespace("")
    return [
        argument.with_changes(comma=comma, whitespace_after_arg=nothing) if argument is arguments[-1] else argument
        for argument in arguments
    ]


def _like_last(added: cst.Arg, node: cst.Call) -> cst.Arg:
    """The added argument with the trailing comma and line break of the one that was last."""
    if not node.args:
        return added
    last = node.args[-1]
    return added.with_changes(comma=last.comma, whitespace_after_arg=last.whitespace_after_arg)
