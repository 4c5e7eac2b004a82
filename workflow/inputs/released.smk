# Released files, by collection.
def released(collection, suffix=""):
    """The paths of a collection's files (all, or those whose name ends in `suffix`)."""
    return [
        f"results/downloads/{f.name}"
        for f in RELEASED[collection]
        if f.name.endswith(suffix)
    ]
