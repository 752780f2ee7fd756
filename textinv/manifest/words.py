"""The words that manifests and specs share."""

from typing import Literal

from textinv.images.fit import Crop

Kind = Literal["object", "style"]
Method = Literal["sphere", "adamw"]
Schedule = Literal["constant", "linear", "cosine"]
StopRule = Literal["dvar", "fixed"]

__all__ = ["Crop", "Kind", "Method", "Schedule", "StopRule"]
