"""The paper's key findings (section 3.2), computed from a study's own runs: tables, figures, statements."""
