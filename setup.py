"""Everything about the package stands in settings.ini; the version stands in hpa_cells/__init__.py."""
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
config = ConfigParser(delimiters=["="])
config.read(here / "settings.ini", encoding="utf-8")
meta = config["DEFAULT"]
version = re.search(r'__version__\s*=\s*"([^"]+)"', (here / "hpa_cells" / "__init__.py").read_text(encoding="utf-8")).group(1)
extras = {key.removesuffix("_requirements"): value.split() for key, value in meta.items() if key.endswith("_requirements")}
# SpatialData holds Dask back on Python 3.11, so it is no part of dev; its tests are skipped where it is absent
extras["dev"] = sorted({package for name, packages in extras.items() if name != "spatial" for package in packages})
stages = {"2": "2 - Pre-Alpha", "3": "3 - Alpha", "4": "4 - Beta", "5": "5 - Production/Stable"}

class BuildWithKernels(build_py):
    "Copies the Kaggle notebooks into the wheel, so `hpa_cells kaggle kernels` needs no repository."
    def run(self):
        super().run()
        if not self.editable_mode:
            self.copy_tree(str(here / "nbs" / "kaggle"), str(Path(self.build_lib) / meta["lib_name"] / "static" / "kaggle"))


setup(
    cmdclass={"build_py": BuildWithKernels},
    name=meta["lib_name"],
    version=version,
    description=meta["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    keywords=meta["keywords"].split(),
    author=meta["author"],
    author_email=meta["author_email"],
    url=meta["url"],
    license=meta["license"],
    packages=find_packages(include=["hpa_cells", "hpa_cells.*"]),
    package_data={meta["lib_name"]: ["static/*", "static/*/*", "napari.yaml", "py.typed"]},
    python_requires=">=" + meta["min_python"],
    install_requires=meta["requirements"].split(),
    extras_require=extras,
    entry_points={
        "console_scripts": meta["console_scripts"].split(),
        "napari.manifest": [f"{meta['lib_name']} = {meta['lib_name']}:napari.yaml"],
        "nbdev": [f"{meta['lib_name']}={meta['lib_name']}._modidx:d"],  # by this the documentation links names to their pages
    },
    classifiers=[
        "Development Status :: " + stages[meta["status"]],
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Bio-Informatics",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
