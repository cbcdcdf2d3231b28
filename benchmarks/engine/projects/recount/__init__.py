"""A study whose cells do next to nothing, to measure what the engine costs."""
