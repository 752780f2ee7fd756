"""The families of base models: Stable Diffusion 1 and 2, XL, and the original latent diffusion.

Adding a family is one file here with a subclass of `LatentDiffusionModel`: every module of this package is imported,
and every subclass that is defined in one is known by its `family`.
"""

import importlib
import inspect
import pkgutil

from textinv.models.latent_diffusion import LatentDiffusionModel


def known_families() -> list[type[LatentDiffusionModel]]:
    """All families, in the order of their names; what they accept does not overlap."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        members = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
        found += [member for member in members if _is_family(member, f"{__name__}.{module.name}")]
    return sorted(found, key=lambda family: family.family)


def _is_family(member: object, module: str) -> bool:
    return (
        inspect.isclass(member)
        and issubclass(member, LatentDiffusionModel)
        and not inspect.isabstract(member)
        and member.__module__ == module
    )
