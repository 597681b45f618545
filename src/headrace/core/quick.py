"""Frozen dataclasses that are made as fast as open ones.

A frozen dataclass fills itself through ``object.__setattr__``, some 500 machine instructions for
each field: with the two that every request makes, of 25 and 15 fields, that was a twentieth of all
its CPU. Here the new object is for a moment of an open class with the same slots, is filled by
plain assignments, and then becomes what it is. Nobody else has seen it by then.
"""

from __future__ import annotations

import sys
import types
from dataclasses import MISSING, Field, fields
from typing import Any, Final, TypeVar

T = TypeVar("T")
_UNSET: Final = object()
# To change the class of an object: without the GIL all threads have to stop for it.
_IS_CHEAP: Final = sys.implementation.name == "cpython" and (
    sys.version_info < (3, 13) or sys._is_gil_enabled()  # noqa: SLF001  documented under this name
)


def quick(cls: type[T]) -> type[T]:
    """Give a frozen dataclass, with slots and fields by name alone, a faster ``__init__``.

    What can be seen of the class stays as it was. Subclasses are filled as ever.
    """
    if not _IS_CHEAP:
        return cls
    kind: Any = cls
    bases = getattr(kind, "__orig_bases__", kind.__bases__)
    slots = {"__slots__": kind.__slots__}
    twin = types.new_class(f"Open{cls.__name__}", bases, exec_body=lambda body: body.update(slots))
    made = fields(kind)
    given = {
        "_cls": cls,
        "_plain": cls.__init__,
        "_set": object.__setattr__,
        "_twin": twin,
        "_unset": _UNSET,
        **{f"_of_{field.name}": _default(field) for field in made},
    }
    exec(_source(made, has_post=hasattr(cls, "__post_init__")), given)  # noqa: S102  as dataclasses do
    init: Any = given["__init__"]
    init.__module__ = cls.__module__
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = cls.__init__.__annotations__
    init.__wrapped__ = cls.__init__
    kind.__init__ = init
    return cls


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory


def _source(made: tuple[Field[Any], ...], *, has_post: bool) -> str:
    """The text of ``__init__``."""
    names = [field.name for field in made]
    lines = [
        f"def __init__(self, *, {', '.join(map(_parameter, made))}):",
        *(
            f"    if {field.name} is _unset: {field.name} = _of_{field.name}()"
            for field in made
            if field.default_factory is not MISSING
        ),
        "    if type(self) is not _cls:",
        f"        return _plain(self, {', '.join(f'{name}={name}' for name in names)})",
        "    _set(self, '__class__', _twin)",
        *(f"    self.{name} = {name}" for name in names),
        "    self.__class__ = _cls",
        *(["    self.__post_init__()"] if has_post else []),
    ]
    return "\n".join(lines)


def _parameter(field: Field[Any]) -> str:
    if field.default_factory is not MISSING:
        return f"{field.name}=_unset"
    return field.name if field.default is MISSING else f"{field.name}=_of_{field.name}"
