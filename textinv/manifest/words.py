"""The words that manifests and specs share."""

from typing import Literal

Crop = Literal["center", "random"]
Kind = Literal["object", "style"]
Method = Literal["sphere", "adamw"]
Schedule = Literal["constant", "linear", "cosine"]
StopRule = Literal["dvar", "fixed"]
