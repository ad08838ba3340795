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
    "training": ["evaluation/*.txt", "evaluation/templates/*.jinja", "recipes/*.yaml"],
    "web": ["templates/*", "static/*"],
    "worker": ["**/*.toml", "**/*.jinja", "**/*.txt", "behaviour.json", "adapters/*/*"],
}

setup(
    packages=["notemill", "notemill.verbs", *(f"notemill.application.{package}" for package in FOUND)],
    package_dir={f"notemill.application.{name}": name for name in APPLICATION},
    package_data={f"notemill.application.{name}": patterns for name, patterns in DATA.items()},
)
