"""Each model's responses by themselves: vocabulary, length, refusals, truncation, language."""
