"""Checks the documentation as far as that goes without Quarto, which is on no package registry.

    python .ci/docs.py              exit status 1 if something is wrong
    python .ci/docs.py --prepare    only point 4, by executing it; with numbers, such as 05 63: only these notebooks

1. Links between notebooks and to files lead to something.
2. Names and options in backticks occur in the code: a renamed function leaves no trace in the prose.
3. Each command in the documentation and in the help is accepted by the parser of the command line.
4. `nbdev-docs` can prepare each notebook. It executes exported cells and all cells that contain an import, and no others;
   so a cell with an import must not use what a cell without one has made. This is read from the names; --prepare does it.
"""
import ast
import builtins
import io
import json
import os
import re
import shlex
import sys
import time
import tokenize
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

root = Path(__file__).resolve().parent.parent
notebooks = sorted((root / "nbs").glob("*.ipynb"))
pages = [root / "nbs" / "figures.md", root / "CONTRIBUTING.md"]
link = re.compile(r'(?:\]\(|(?:src|href)=")(?!\w+:|#)([^)"#\s]+)')
fence = re.compile(r"^```.*?^```", re.M | re.S)
# words of other programs and of data, written in backticks
foreign = set("""ID_cell average_precision df_cells distrib_ctx encode_binary_mask label_nuclei metrics model_channels
ID_cells ID_nuclei ID_outlines nbdev_export nuclei_pred output_prefix save_masks found_0 found_3 image0_3_ _nuclei_mask""".split())
foreign_options = {"--no-deps"}


def read_cells(path):
    "Kind and source of each cell of a notebook; a Markdown file is one cell."
    if path.suffix == ".md": return [("markdown", path.read_text(encoding="utf-8"))]
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(c["cell_type"], "".join(c["source"])) for c in found]


def prose(path): return "\n\n".join(s for kind, s in read_cells(path) if kind == "markdown")


def check_links():
    for path in [*notebooks, *pages, root / "README.md"]:
        for target in link.findall(fence.sub("", prose(path))):
            if not (path.parent / target).exists(): yield f"{path.name} links to {target}, which does not exist"


def words_of_code():
    "All names, and all words in texts, of the package, the notebooks' code, the benchmarks and the scripts."
    modules = [p for folder in ("hpa_cells", "benchmarks", ".ci") for p in (root / folder).glob("*.py") if p != Path(__file__)]
    kernels = (root / "nbs" / "kaggle").glob("*/*.ipynb")
    sources = [p.read_text(encoding="utf-8") for p in modules]
    sources += [s for path in [*notebooks, *kernels] for kind, s in read_cells(path) if kind == "code"]
    words = {p.stem for p in [*modules, *notebooks]}
    for source in sources:
        try:
            for token in tokenize.generate_tokens(io.StringIO(source).readline):
                if token.type in (tokenize.NAME, tokenize.STRING): words.update(re.findall(r"\w+", token.string))
        except (tokenize.TokenError, IndentationError, SyntaxError): words.update(re.findall(r"\w+", source))
    return words | set(re.findall(r"\w+", (root / "settings.ini").read_text(encoding="utf-8")))


def options_of(group):
    "All options of a command and of the commands below it."
    found = {name for p in group.params for name in (*p.opts, *p.secondary_opts)}
    for below in getattr(group, "commands", {}).values(): found |= options_of(below)
    return found


def check_names(app):
    words, options = words_of_code() | foreign, options_of(app) | foreign_options | {"--help"}
    benchmarks = " ".join(p.read_text(encoding="utf-8") for p in (root / "benchmarks").glob("*.py"))
    for path in [*notebooks, *pages]:
        for text in re.findall(r"`([^`\n]+)`", fence.sub("", prose(path))):
            name = re.fullmatch(r"([A-Za-z_][\w.]*)(\(.*\))?", text)
            parts = name[1].split(".") if name else []
            is_file = name and re.search(r"\.(py|csv|json|parquet|png|npy|ipynb)$", name[1])
            looks_ours = name and not is_file and (name[2] or "_" in name[1])
            if looks_ours and not all(p in words for p in parts if p): yield f"{path.name}: `{text}` is in no code"
            option = re.match(r"--[a-z][a-z-]+", text)
            if option and option[0] not in options and option[0] not in benchmarks:
                yield f"{path.name}: {option[0]} is an option of no command"


def commands_in(text):
    "The commands `hpa_cells ...` in fences and in backticks."
    for block in fence.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if found := re.match(r"\s*(?:\$ )?(hpa_cells .*)", line): yield found[1].split(" #")[0].split(" && ")[0].split(" > ")[0]
    for span in re.findall(r"`(hpa_cells [a-z-][^`\n]*)`", fence.sub("", text)): yield span


def check_command(app, line):
    "Why the parser refuses a command, or None; `...` and words in capitals stand for anything."
    import click
    words, group, name = shlex.split(line.replace("...", ""))[1:], app, "hpa_cells"
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        if name not in group.commands: return f"no command {name}"
        group = group.commands[name]
    if not words: return      # `hpa_cells run` in a sentence only names the command
    try:
        with redirect_stdout(io.StringIO()): group.make_context(name, words)
    except click.exceptions.Exit: pass
    except click.UsageError as e:      # a sentence may name one option only, without the required ones or its argument
        short = len(words) < 3 and isinstance(e, (click.MissingParameter, click.BadOptionUsage))
        return None if short else e.format_message()


def helps(app, path=("hpa_cells",)):
    "Name and help of all commands."
    yield " ".join(path), app.help or ""
    for name, below in getattr(app, "commands", {}).items(): yield from helps(below, (*path, name))


def check_commands(app):
    lines = [(p.name, line) for p in [*notebooks, *pages, root / "README.md"] for line in commands_in(prose(p))]
    for name, text in helps(app):
        lines += [(name, m) for m in re.findall(r"(?:Example|Try it|On your images): (hpa_cells .*)", text)]
    print(f"{len(lines)} commands")
    for where, line in lines:
        if why := check_command(app, line): yield f"{where}: {line}: {why}"


def run_cheap(app):
    "Run the help of each command, and the commands that only list something."
    from click.testing import CliRunner
    for name, _ in helps(app):
        got = CliRunner().invoke(app, [*name.split()[1:], "--help"])
        if got.exit_code: yield f"{name} --help ends with {got.exit_code}: {got.output[-200:]}"
    for line in ("models list", "models list --json"):
        got = CliRunner().invoke(app, line.split())
        if got.exit_code: yield f"hpa_cells {line} ends with {got.exit_code}: {got.output[-200:]} {got.exception!r}"


def is_executed(source, tree):
    "Whether `nbdev-docs` executes a cell."
    if "nbdev_export()" in source or re.search(r"^#\|\s*eval: *false", source, re.M): return False
    exported = re.search(r"^#\|\s*(export|exports|exporti|exec_doc)\b", source, re.M)
    return exported or any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(tree))


def executed_nodes(tree):
    "The nodes that are executed with a cell; the bodies of its functions are left out."
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, ast.Lambda): todo += node.args.defaults
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            todo += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        else: todo += ast.iter_child_nodes(node)


def names_made(tree):
    "The names that a cell assigns, defines or imports."
    for node in executed_nodes(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load): yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)): yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)): yield from ((a.asname or a.name).split(".")[0] for a in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name: yield node.name


def names_used(tree):
    "The names that a cell reads when it is executed."
    return (n.id for n in executed_nodes(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))


def check_imports():
    "Cells that `nbdev-docs` executes without the names that they need."
    for path in notebooks:
        if not re.match(r"\d\d_", path.name): continue      # without exports, nothing is executed
        known = {*dir(builtins), "get_ipython", "display"}
        for kind, source in read_cells(path):
            if kind != "code": continue
            tree = ast.parse(re.sub(r"^\s*[%!].*$", "", source, flags=re.M))
            if not is_executed(source, tree): continue
            known |= set(names_made(tree))
            if unknown := sorted(set(names_used(tree)) - known):
                yield (f"{path.name}: nbdev-docs executes a cell with an import, but not what makes {', '.join(unknown)}; "
                       f"put the import into a cell of its own: {' '.join(source.split())[:80]}")


def prepare(numbers):
    "Prepare notebooks as `nbdev-docs` does before it calls Quarto."
    from nbdev.process import read_nb
    from nbdev.processors import FilterDefaults
    os.chdir(root / "nbs")
    for path in notebooks:
        if numbers and not path.name.startswith(tuple(numbers)): continue
        start = time.process_time()
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                FilterDefaults()(read_nb(path))
        except Exception as e: yield f"nbdev-docs cannot prepare {path.name}: {' '.join(str(e).split())[-300:]}"
        print(f"{path.name}: prepared in {time.process_time() - start:.1f} s of CPU time", flush=True)


def main():
    os.environ.setdefault("MPLBACKEND", "agg")
    sys.path.insert(0, str(root))
    problems = []
    if sys.argv[1:2] == ["--prepare"]: problems += prepare(sys.argv[2:])
    else:
        from hpa_cells.cli import app
        checks = check_links(), check_names(app), check_commands(app), run_cheap(app), check_imports()
        for check in checks: problems += check
    for problem in problems: print(f"PROBLEM: {problem}")
    print(f"{len(problems)} problems in the documentation")
    sys.exit(bool(problems))


if __name__ == "__main__": main()
