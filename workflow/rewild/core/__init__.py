"""What every room stands on: errors, files, tables, locks, reading, writing. Nothing of the field."""
