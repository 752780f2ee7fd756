"""HTTP routes: OpenAI's, A1111's and the native ones. They know HTTP only and draw through `Studio`."""
