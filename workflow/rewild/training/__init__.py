"""From responses to trained models: mixes, preference pairs, runs."""
