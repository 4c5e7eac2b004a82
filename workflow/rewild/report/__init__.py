"""What a reader sees: tables, figures, the viewer, findings."""
