"""Training mixes: conversations drawn from several sources, with a card that says what they are."""
