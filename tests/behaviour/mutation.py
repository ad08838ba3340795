"""Mutation run: changes the answer code in small ways and counts the changes that the digest misses.

A mutant flips a comparison, a boolean operator or a condition, or shifts a number. Each runs in a forked
process that imports the mutated module. Rule tables are not mutated: the digest covers their content.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
_FOLDERS = ("note", "entities", "search", "summary", "privacy")
_SECONDS = 60
CAUGHT, MISSED = 0, 9
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


class _Mutator(ast.NodeTransformer):
    """Applies the change with number `wanted`; counts the possible changes."""

    def __init__(self, wanted: int = -1) -> None:
        self.count, self.wanted, self.description = 0, wanted, ""

    def _is_wanted(self, node: ast.AST, description: str) -> bool:
        self.count += 1
        if self.count - 1 == self.wanted:
            self.description = f"line {getattr(node, 'lineno', 0)}: {description}"
            return True
        return False

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if type(node.ops[0]) in _OPPOSITE and self._is_wanted(node, "comparison"):
            node.ops[0] = _OPPOSITE[type(node.ops[0])]()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self._is_wanted(node, "and/or"):
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and self._is_wanted(node, "not"):
            return node.operand
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        is_number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        if is_number and self._is_wanted(node, f"{node.value} + 1"):
            return ast.copy_location(ast.Constant(node.value + 1), node)
        if isinstance(node.value, bool) and self._is_wanted(node, f"{node.value}"):
            return ast.copy_location(ast.Constant(not node.value), node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node


class _Loader(importlib.abc.Loader, importlib.abc.MetaPathFinder):
    """Imports one module from mutated source."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self._name, self._path, self._tree = name, path, tree

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        return (
            importlib.util.spec_from_file_location(name, self._path, loader=self)
            if name == self._name
            else None
        )

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._tree, str(self._path), "exec"), module.__dict__)


def modules() -> list[Path]:
    """The modules that are mutated."""
    paths = [path for folder in _FOLDERS for path in sorted((ROOT / "worker" / folder).glob("*.py"))]
    return [path for path in [*paths, ROOT / "worker/pipeline.py"] if path.name != "__init__.py"]


def mutants(count: int, seed: int) -> Iterator[tuple[Path, int]]:
    """Draws `count` changes; yields the module and the number of the change in it."""
    numbers: list[tuple[Path, int]] = []
    for path in modules():
        counter = _Mutator()
        counter.visit(ast.parse(path.read_text("utf-8")))
        numbers += [(path, number) for number in range(counter.count)]
    yield from random.Random(seed).sample(numbers, min(count, len(numbers)))


def show(count: int, seed: int) -> int:
    """Prints the changes that the digest misses, and how many there were."""
    import numpy  # noqa: F401  loaded once, before the forks

    expected = _outputs_in_a_child()
    missed = 0
    for tried, (path, number) in enumerate(mutants(count, seed), start=1):
        mutator = _Mutator(number)
        tree = ast.fix_missing_locations(mutator.visit(ast.parse(path.read_text("utf-8"))))
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if _status_of(_Loader(name, path, tree), expected) == MISSED:
            missed += 1
            print(f"missed: {path.relative_to(ROOT)} {mutator.description}", flush=True)
        if tried % 25 == 0:
            print(f"{tried} mutants, {missed} missed", flush=True)
    print(f"{missed} of {count} changes were missed ({missed / count:.0%}).")
    return 0


def _outputs_in_a_child() -> str:
    """Computes the outputs in a child process, so that this process imports none of the mutated modules."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as pipe:
            pipe.write(_outputs())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        output = pipe.read()
    os.wait()
    return output


def _outputs() -> str:
    from tests.behaviour.digest import outputs
    from tests.behaviour.replay import Recordings, ReplayEngine

    return json.dumps(outputs(ReplayEngine(Recordings.read())), sort_keys=True, default=str)


def _status_of(loader: _Loader, expected: str) -> int:
    child = os.fork()
    if child == 0:
        signal.alarm(_SECONDS)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.meta_path.insert(0, loader)
        try:
            os._exit(MISSED if _outputs() == expected else CAUGHT)
        except BaseException:  # noqa: BLE001  a mutant that crashes is caught
            os._exit(CAUGHT)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
