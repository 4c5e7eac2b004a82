"""The documentation as a site: its pages, and the references that the code itself gives.

MkDocs builds it in an environment of its own (``envs/docs.txt``), from a folder that is laid out like the
repository, so that a link is the same on the site and in a checkout.
"""
