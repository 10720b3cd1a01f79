"""Builds a wheel and checks what is in it, and that the commands which need its data run without the repository.

    python .ci/wheel.py         exit status 1 if something is missing
"""
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

root = Path(__file__).resolve().parent.parent


def run(*args, **options): return subprocess.run([sys.executable, *map(str, args)], check=True, **options)


def expected():
    "Names of the files that the wheel must hold, besides the modules."
    names = {"hpa_cells/py.typed"}
    for folder, inside in (("nbs/kaggle", "hpa_cells/static/kaggle"), ("hpa_cells/static", "hpa_cells/static")):
        tracked = subprocess.run(["git", "ls-files", folder], cwd=root, capture_output=True, text=True, check=True).stdout
        names |= {inside + line.removeprefix(folder) for line in tracked.splitlines()}
    return names | {f"hpa_cells/{p.name}" for p in (root / "hpa_cells").glob("*.py")}


def main():
    built_before = (root / "build").exists()
    with TemporaryDirectory() as home:
        home = Path(home)
        run("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", home / "wheel", root)
        if not built_before: shutil.rmtree(root / "build", ignore_errors=True)
        wheel, = (home / "wheel").glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
            archive.extractall(home / "site")
        missing = sorted(expected() - names)
        for name in missing: print(f"PROBLEM: {name} is not in {wheel.name}")
        environment = os.environ | dict(PYTHONPATH=str(home / "site"))
        script = "import hpa_cells, hpa_cells.cli as cli; print(hpa_cells.__file__); cli.main()"
        told = run("-c", script, "kaggle", "kernels", "--out", home / "kernels", "--owner", "me", cwd=home, env=environment,
                   capture_output=True, text=True).stdout.splitlines()
        if not told[0].startswith(str((home / "site").resolve())): missing.append(f"{told[0]} was used instead of the wheel")
        size = wheel.stat().st_size / 1e3
        print(f"{wheel.name}: {len(names)} files, {size:.0f} kB; {len(told) - 1} kernels written without the repository")
        if len(told) < 9: missing.append("kernels")      # eight or more, after the path
    sys.exit(bool(missing))


main()
