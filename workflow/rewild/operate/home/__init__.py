"""A study's home: one page of what it is, how far it is, what it found, cost, lacks and rests on."""
