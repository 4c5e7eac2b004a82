"""Tables of papers: what they hold (``spec``), beside computed ones (``compare``), and shown (``render``)."""
