"""How alike responses are: exact ROUGE, METEOR and BLEU between all pairs of models."""
