"""What models of the interface for programs have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SIZE_MAX = 200
_PAGE_MAX = 1_000_000


class Answer(BaseModel):
    """Base of what is answered; it is read from the attributes of our records."""

    model_config = ConfigDict(from_attributes=True, frozen=True, use_attribute_docstrings=True)


class Asked(BaseModel):
    """Base of what is asked; an unknown field is a mistake, and said."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PageAsked(Asked):
    """Which part of a long list is asked for."""

    page: Annotated[int, Field(ge=1, le=_PAGE_MAX)] = 1
    """From 1; after the last there is an empty one."""
    size: Annotated[int, Field(ge=1, le=SIZE_MAX)] = 50
    """How many items a page has."""

    @property
    def offset(self) -> int:
        """How many items are before it."""
        return (self.page - 1) * self.size


class PageAnswer(Answer):
    """Base of a part of a long list, which has its items in `items`."""

    page: int
    size: int
    total: int
    """How many items the whole list has."""
