"""Drawing over HTTP, in OpenAI's shape and ours."""
