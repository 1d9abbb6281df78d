"""Errors that users meet: `from speakerid.errors import UserError`."""

from speakerid.base.errors import UserError

__all__ = ["UserError"]
