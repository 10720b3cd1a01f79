"""Checks the layout of the package and prints a table of its modules.

    python .ci/layout.py        exit status 1 if a rule is broken

Rules: no line over 120 columns; no module over 400 lines and at most five over 300; no export cell over 40 lines; every
module has its notebook and the package holds nothing else; a notebook, tests included, imports only from lower numbers.
The last rule makes import cycles impossible.
"""
import ast
import json
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
widest, longest, long_module, most_long, longest_cell = 120, 400, 300, 5, 40
generated = "# %%", "__all__ = ["  # lines that nbdev writes, and whose width nobody can set
magic = re.compile(r"^\s*[%!].*$", re.M)


def cells(notebook):
    "Sources of the code cells of a notebook."
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in found if c["cell_type"] == "code"]


def module_of(sources):
    "Name of the module that a notebook exports to, or None."
    names = [m[1] for s in sources if (m := re.search(r"^#\|\s*default_exp\s+(\w+)", s, re.M))]
    return names[0] if names else None


def imported(source):
    "Modules of the package that a cell imports, in functions and in text that it gives to another process as well."
    text = magic.sub("", source)
    found = set(re.findall(r"\b(?:from|import) hpa_cells\.(\w+)", text))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == "hpa_cells": found |= {a.name for a in node.names}
    return found


def main():
    notebooks = sorted(p for p in (root / "nbs").glob("[0-9][0-9]_*.ipynb"))
    sources = {p: cells(p) for p in notebooks}
    order = {module_of(s): p.name for p, s in sources.items()}
    problems, table = [], []
    for path, code in sources.items():
        name = module_of(code)
        if name is None or path.stem[3:] != name: problems.append(f"{path.name} exports to {name}")
        module = root / "hpa_cells" / f"{name}.py"
        if not module.exists():
            problems.append(f"{path.name} is not exported: run nbdev-export")
            continue
        lines = module.read_text(encoding="utf-8").splitlines()
        export = [s.count("\n") for s in code if re.search(r"^#\|\s*export\b", s, re.M)]
        uses = sorted({m for s in code for m in imported(s) if m in order and m != name}, key=order.get)
        problems += [f"{path.name} imports {m}, which is {order[m]}" for m in uses if order[m] >= path.name]
        problems += [f"{path.name}: an export cell of {n} lines" for n in export if n > longest_cell]
        problems += [f"{module.name}, line {i}: {len(line)} columns" for i, line in enumerate(lines, 1)
                     if len(line) > widest and not line.startswith(generated)]
        if len(lines) > longest: problems.append(f"{module.name}: {len(lines)} lines")
        table.append((path.stem, len(lines), max(export, default=0), max(map(len, lines)), " ".join(uses)))
    over = [row[0] for row in table if row[1] > long_module]
    if len(over) > most_long: problems.append(f"{len(over)} modules over {long_module} lines: {', '.join(over)}")
    known = {f"{m}.py" for m in order} | {"__init__.py", "_modidx.py"}
    problems += [f"hpa_cells/{p.name} has no notebook" for p in (root / "hpa_cells").glob("*.py") if p.name not in known]
    print(f"{'notebook':18} lines  longest export cell  widest line  imports")
    for row in table: print(f"{row[0]:18} {row[1]:5}  {row[2]:19}  {row[3]:11}  {row[4]}")
    print(f"{len(table)} modules, {sum(r[1] for r in table):,} lines, {len(over)} over {long_module}")
    for problem in problems: print(f"PROBLEM: {problem}")
    sys.exit(bool(problems))


main()
