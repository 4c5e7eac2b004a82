"""Responses that others released, in the same form as those generated here."""
