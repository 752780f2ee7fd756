"""What became of a job, for those who read rather than click: one HTML file, and event files for TensorBoard.

Owns gathering a job's story from the store and the two forms in which it is told. Knows neither Ray nor HTTP. Open
`story.py` first.
"""

from textinv.report.page import write_page
from textinv.report.story import ConceptStory, JobStory, tell

__all__ = ["ConceptStory", "JobStory", "tell", "write_page"]
