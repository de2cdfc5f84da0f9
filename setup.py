"""Packaging of scipion-em-cryoposes.

The real folders `protocols/` and `tests/` are mapped into the package; the links of the same names
inside `cryoposes_plugin/` are for running from a clone, and `find_packages` must not follow them.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(
    r'^__version__ = "([^"]+)"', (HERE / "cryoposes_plugin/__init__.py").read_text(), re.M
).group(1)

LINKED = ("protocols", "tests")
packages = find_packages(include=["cryoposes_plugin", "cryoposes_plugin.*"])
packages = [
    p for p in packages if not p.startswith(tuple(f"cryoposes_plugin.{name}" for name in LINKED))
]
package_dir = {}
for name in LINKED:
    mapped = f"cryoposes_plugin.{name}"
    package_dir[mapped] = name
    packages += [mapped] + [f"{mapped}.{sub}" for sub in find_packages(name)]

# Scipion's GUI may run on an older Python than the compute program, which then has an environment
# of its own (`scipion installb`, or CRYOPOSES_ENV_ACTIVATION): there the plugin installs without
# what only computing needs.
COMPUTING = 'python_version >= "3.10" and python_version < "3.13"'

setup(
    name="scipion-em-cryoposes",
    version=VERSION,
    description="Scipion plugin: learned orientations for cryo-EM particles, and their uncertainty",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="GPL-3.0-or-later",
    license_files=["LICENSE"],
    keywords="scipion cryo-em single-particle orientation-estimation deep-learning uncertainty",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
    packages=packages,
    package_dir=package_dir,
    package_data={"cryoposes_plugin": ["protocols.conf", "logo.png", "templates/*"]},
    python_requires=">=3.8",
    install_requires=[
        "scipion-em>=3.11,<4",
        "numpy>=1.24",
        "scipy>=1.10",
        "mrcfile>=1.4",
        "matplotlib>=3.7",
        "gemmi>=0.7,<0.8",
        f"tensorflow>=2.20,<2.22; {COMPUTING}",
        f"astra-toolbox>=2.3,<3; {COMPUTING}",
        f"scikit-learn>=1.4,<2; {COMPUTING}",
        f"numba>=0.60,<1; {COMPUTING}",
    ],
    extras_require={
        # The two plugins that results are exchanged with; the tests drive their protocols.
        "plugins": ["scipion-em-relion>=5.0,<6", "scipion-em-cryosparc2>=5.0,<6"],
        # Chunks of a run on the workers of a Dask cluster.
        "cluster": ["distributed>=2024.8"],
        "docs": ["sphinx>=8,<9", "myst-parser>=4", "furo>=2024.8"],
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "finufft>=2.3",
            "healpy>=1.16",
            "ruff>=0.9",
            "mypy>=1.14",
            "build>=1",
            "distributed>=2024.8",
        ],
    },
    entry_points={
        "pyworkflow.plugin": ["cryoposes_plugin = cryoposes_plugin"],
        "console_scripts": ["cryoposes = cryoposes_plugin.cli.main:main"],
    },
)
