"""Where texts lie in the space of an embedding model: vectors, neighbours, matches, coverage."""
