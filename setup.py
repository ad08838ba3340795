"""Where packages go in a wheel: into `notemill/application`, so that only the name `notemill` is installed.

`import models` of a hospital's own code then never finds ours. `notemill.command_line` makes the packages
importable in the process of the command. In the repository they stay top-level packages.
"""

from setuptools import find_packages, setup

APPLICATION = ("console", "exports", "models", "producer", "training", "web", "worker")
FOUND = find_packages(include=[pattern for name in APPLICATION for pattern in (name, f"{name}.*")])
DATA = {
    "console": ["nightly/templates/*.jinja"],
    "models": ["*.toml", "migrations/*.mako"],
    "training": ["corpora/*.jsonl", "evaluation/*.txt", "evaluation/templates/*.jinja", "recipes/*.yaml"],
    "web": ["templates/*", "static/*"],
    "worker": ["**/*.toml", "**/*.jinja", "**/*.txt", "behaviour.json", "adapters/*/*"],
}

CORPUS = "notemill.application.examples.corpus"
"""A folder of data, not of modules: what `train evaluate --data builtin` measures on."""

setup(
    packages=[
        "notemill",
        "notemill.verbs",
        CORPUS,
        *(f"notemill.application.{package}" for package in FOUND),
    ],
    package_dir={CORPUS: "examples/corpus"} | {f"notemill.application.{name}": name for name in APPLICATION},
    package_data={CORPUS: ["*.jsonl", "README.md"]}
    | {f"notemill.application.{name}": patterns for name, patterns in DATA.items()},
)
