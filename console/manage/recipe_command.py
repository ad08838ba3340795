"""The verbs `notemill recipe`: list, show, diff and adopt recipes; and the offer that `db upgrade` makes.

A recipe is the fingerprint of everything that can change an answer (docs/concepts/recipes.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from console.terminal.opened_database import Database, database
from console.terminal.terminal import command_to_type, count_of, human_time, printable, stderr, stdout
from models.errors import UsageError
from models.jobs import Recipe, recipe_for
from models.labels import Label
from models.queries.recipe_list import StoredRecipe
from models.settings import Settings, load_settings

NOW = "now"
"""In place of an id: the recipe that a worker with these settings answers under."""
_SHOWN_DIGITS = 8


def list_recipes(*, as_json: bool) -> int:
    """Prints the recipes that the archive was answered under, oldest first."""
    settings = load_settings()
    with database(settings) as opened:
        recipes = opened.queries.recipes()
        current = {recipe.id for recipe in _current_recipes(settings, recipes)}
    if as_json:
        print(json.dumps([_as_object(recipe, current) for recipe in recipes]))
        return 0
    if not recipes:
        stdout().print(f"No recipes yet. Type: {command_to_type('run', 'examples/notes')}", soft_wrap=True)
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("recipe", "task", "answers", "first used", "last answer", "counts as"):
        table.add_column(title, justify="right" if title == "answers" else "left", overflow="fold")
    for recipe in recipes:
        last = human_time(recipe.last_finished_at) if recipe.last_finished_at else "–"
        counts_as = [NOW] * (recipe.id in current) + [id_[:_SHOWN_DIGITS] for id_ in recipe.adopted_by]
        cells = (recipe.id[:_SHOWN_DIGITS], recipe.task.value, f"{recipe.finished_jobs:,}")
        table.add_row(*cells, human_time(recipe.created_at), last, ", ".join(counts_as) or "itself only")
    stdout().print(table)
    return 0


def show_recipe(prefix: str) -> int:
    """Prints the ingredients of a recipe as JSON."""
    with database(load_settings()) as opened:
        recipe = opened.queries.stored_recipe(prefix)
    print(json.dumps({"id": recipe.id, "task": recipe.task.value, **_content(recipe)}, indent=2))
    return 0


def diff_recipes(old: str, new: str) -> int:
    """Prints the ingredients in which two recipes differ; `now` stands for the present one."""
    settings = load_settings()
    with database(settings) as opened:
        old_recipe = opened.queries.stored_recipe(old)
        new_recipe = _recipe_by_name(settings, opened, new, old_recipe)
    old_content, new_content = (dict(_flat_items(_content(recipe))) for recipe in (old_recipe, new_recipe))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("ingredient", old_recipe.id[:_SHOWN_DIGITS], new_recipe.id[:_SHOWN_DIGITS]):
        table.add_column(title, overflow="fold")
    names = [*old_content, *(name for name in new_content if name not in old_content)]
    differing = [name for name in names if old_content.get(name) != new_content.get(name)]
    for name in differing:
        cells = (name, old_content.get(name, "–"), new_content.get(name, "–"))
        table.add_row(*(Text(printable(cell)) for cell in cells))
    stdout().print(table if differing else "The two recipes are the same.")
    return 0


def adopt_recipe(old: str, new: str, *, is_undo: bool) -> int:
    """Makes answers of `old` count as answers of `new`, or takes that back."""
    settings = load_settings()
    with database(settings) as opened:
        old_recipe = opened.queries.stored_recipe(old)
        new_recipe = _recipe_by_name(settings, opened, new, old_recipe)
        if old_recipe.id == new_recipe.id:
            raise UsageError(f"{old_recipe.id} is that recipe itself")
        if is_undo:
            is_changed = opened.store.withdraw_adoption(old_recipe.id, new_recipe.id)
            words = "no longer count" if is_changed else "did not count"
        else:
            adopted = new_recipe if isinstance(new_recipe, Recipe) else new_recipe.id
            is_changed = opened.store.adopt_recipe(old_recipe.id, adopted)
            words = "count from now on" if is_changed else "counted before"
    answers = count_of(old_recipe.finished_jobs, "answer")
    ids = (old_recipe.id[:_SHOWN_DIGITS], new_recipe.id[:_SHOWN_DIGITS])
    stdout().print(f"{answers} of {ids[0]} {words} as answers of {ids[1]}.", soft_wrap=True)
    if is_changed and not is_undo:
        undo = command_to_type("recipe", "adopt", "--undo", *ids)
        stderr().print(
            f"To see what differs first: {command_to_type('compare', *ids)}. To take it back: {undo}",
            soft_wrap=True,
        )
    return 0


def offer_adoptions(opened: Database, settings: Settings, *, is_adopting: bool) -> None:
    """After an upgrade: names recipes of version 0.1.0 whose answers the present code gives too, and adopts
    them where `is_adopting`."""
    from worker.recipe import has_same_answers

    recipes = [
        recipe for recipe in opened.queries.recipes() if recipe.finished_jobs and not recipe.adopted_by
    ]
    for old in recipes:
        for new in _current_recipes(settings, [old]):
            if not has_same_answers(old.ingredients, new.ingredients):
                continue
            ids = (old.id[:_SHOWN_DIGITS], new.id[:_SHOWN_DIGITS])
            answers = count_of(old.finished_jobs, "answer")
            if is_adopting:
                opened.store.adopt_recipe(old.id, new)
                stdout().print(f"{answers} of {ids[0]} count as answers of {ids[1]} now.", soft_wrap=True)
            else:
                single, all_ = (
                    command_to_type("recipe", "adopt", ids[0], NOW),
                    command_to_type("db", "upgrade", "--adopt"),
                )
                words = f"This version answers as recipe {ids[0]} did ({old.task.value}, {answers})."
                stdout().print(f"{words} To keep them, type: {single}, or for all: {all_}", soft_wrap=True)


def _recipe_by_name(
    settings: Settings, opened: Database, name: str, like: StoredRecipe
) -> StoredRecipe | Recipe:
    """The recipe with this id, or for `now` the present one for the task and labels of `like`."""
    if name != NOW:
        return opened.queries.stored_recipe(name)
    current = _current_recipes(settings, [like])
    if not current:
        prepare = command_to_type("weights", "prepare")
        raise UsageError(f"the present recipe is not known, the weights are not prepared. Type: {prepare}")
    return current[0]


def _current_recipes(settings: Settings, recipes: list[StoredRecipe]) -> list[Recipe]:
    """The present recipes for the tasks and labels of these; none where the weights are not prepared."""
    from worker.recipe import serving
    from worker.weights.model_files import WeightsError

    try:
        present = serving(settings)
    except WeightsError:
        return []
    labels = [tuple(Label.model_validate(label) for label in recipe.labels) for recipe in recipes]
    return [recipe_for(recipe.task, present, own) for recipe, own in zip(recipes, labels, strict=True)]


def _content(recipe: StoredRecipe | Recipe) -> dict[str, Any]:
    labels = [label if isinstance(label, dict) else label.model_dump(mode="json") for label in recipe.labels]
    return {"ingredients": recipe.ingredients, "labels": labels}


def _flat_items(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Names like `task.prompts` with their values as JSON."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat_items(inner, f"{name}.{key}".removeprefix(".").removeprefix("ingredients."))
    else:
        yield name, json.dumps(value, ensure_ascii=False)


def _as_object(recipe: StoredRecipe, current: set[str]) -> dict[str, Any]:
    return {**recipe.model_dump(mode="json"), "is_current": recipe.id in current}
