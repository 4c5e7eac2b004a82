"""One room per paper: its published data, its evidence and checks."""
