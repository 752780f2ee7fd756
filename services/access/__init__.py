"""Who calls, and how much they may ask for: API keys and their limits, what each caller has under way.

Knows neither HTTP nor Ray Serve, nor how pictures are made. Begin with `keys`; `front_usage` is how a front
asks for the counts in `usage`.
"""
