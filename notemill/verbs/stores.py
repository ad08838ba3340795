"""The verb groups `db`, `audit`, `recipe` and `weights`."""

from __future__ import annotations

from console.terminal import options
from notemill.verbs.groups import audit_verb, database_verb, recipe_verb, weights_verb


@audit_verb("show", epilog="Example: `notemill audit show --last 20`")
def audit_show(
    last: options.LastRows = 50, action: options.AuditAction = None, as_json: options.Json = False
) -> int:
    """Show who did what, when; ids only."""
    from console.manage.audit_command import show_entries

    return show_entries(last=last, action=action, as_json=as_json)


@audit_verb("verify", epilog="Example: `notemill audit verify`")
def audit_verify(head: options.Head = None) -> int:
    """Say whether nothing in the trail was changed or removed; exit status 1 if not."""
    from console.manage.audit_command import verify

    return verify(head)


@database_verb("upgrade", epilog="Example: `notemill db upgrade`")
def database_upgrade(adopt: options.Adopt = False) -> int:
    """Upgrade tables and views to this version.

    Names earlier answers that this version would give too; with --adopt they count as its own, so that they
    are not computed again.
    """
    from console.manage.database_command import upgrade

    return upgrade(is_adopting=adopt)


@database_verb("check", epilog="Example: `notemill db check`")
def database_check() -> int:
    """Say whether the tables are those of this notemill; exit status 1 if not."""
    from console.manage.database_command import check

    return check()


@database_verb("roles", epilog="Example: `notemill db roles`")
def database_roles() -> int:
    """Make roles for producers, workers and analysts in PostgreSQL.

    Each may do what it needs and nothing more; give them to users with CREATE USER … IN ROLE.
    """
    from console.manage.database_command import make_roles

    return make_roles()


@database_verb("rekey", epilog="Example: `notemill db rekey`")
def database_rekey() -> int:
    """Encrypt all text under a new key, or what was plain before.

    The master key is the first in NOTEMILL_ENCRYPTION_KEY_FILE; keep the old one behind it until this is
    through. Stopped half way, the same command goes on; workers need not stop.
    """
    from console.manage.database_command import rekey

    return rekey()


@weights_verb("prepare", epilog="Example: `notemill weights prepare`")
def weights_prepare() -> int:
    """Make the weights ready to load, once; later starts take a second."""
    from console.processes.weights_preparation import prepare

    return prepare()


@recipe_verb("list", epilog="Example: `notemill recipe list`")
def recipe_list(as_json: options.Json = False) -> int:
    """List the recipes that stored answers were made with, and which of them is the present one."""
    from console.manage.recipe_command import list_recipes

    return list_recipes(as_json=as_json)


@recipe_verb("show", epilog="Example: `notemill recipe show 3f2a91c0`")
def recipe_show(recipe: options.RecipeId) -> int:
    """Print the ingredients of a recipe as JSON: weights, adapter, prompts, behaviour, windows."""
    from console.manage.recipe_command import show_recipe

    return show_recipe(recipe)


@recipe_verb("diff", epilog="Example: `notemill recipe diff 3f2a91c0 now`")
def recipe_diff(old: options.OldRecipe, new: options.NewRecipe) -> int:
    """Print in which ingredients two recipes differ."""
    from console.manage.recipe_command import diff_recipes

    return diff_recipes(old, new)


@recipe_verb("adopt", epilog="Example: `notemill recipe adopt 3f2a91c0 now`")
def recipe_adopt(old: options.OldRecipe, new: options.NewRecipe, undo: options.UndoAdoption = False) -> int:
    """Let stored answers of an old recipe count as answers of a new one.

    They are then not computed again. First see what differs: `notemill compare OLD NEW`. The audit trail
    records it, and --undo takes it back.
    """
    from console.manage.recipe_command import adopt_recipe

    return adopt_recipe(old, new, is_undo=undo)
