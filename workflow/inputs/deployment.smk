# Where the packages of the heavier tools come from. Without `--sdm`: .envs/{tool}, built from the tool's lock by the
# first job that needs it. With `--sdm apptainer`: the same, inside the tool's image. With `--sdm conda`: envs/{tool}.yaml,
# which wraps the same lock; Snakemake makes that environment.
DEPLOYED = {
    method.name.lower() for method in workflow.deployment_settings.deployment_method
}
CONDA = "conda" in DEPLOYED
ENVS = ".envs/apptainer" if "apptainer" in DEPLOYED else ".envs"


def ready_of(tool):
    """What says that a tool's environment is there; nothing for a job that needs none of its own."""
    return [f"{environment_of(tool)}/ready"] if tool and not CONDA else []


def environment_of(tool):
    """The folder of a tool's environment. Tools without an image run on the node itself."""
    return f"{ENVS if tool in IMAGES else '.envs'}/{tool}"


def python_of(tool):
    """A tool's Python, as one word for a shell; `conda_python` is a function of the prefix in common.smk."""
    if not tool:
        return "python"
    return "conda_python" if CONDA else f"{environment_of(tool)}/bin/python"


def image_of(tool):
    """A tool's container; None where it has none."""
    if tool not in IMAGES:
        return None
    return IMAGES[tool].where(SITE.images if SITE else None)


def conda_of(tool):
    """A tool's conda file, as rules name it: Snakemake formats the path, that of the checkout included."""
    return braced(str(ROOT / f"envs/{tool or 'workflow'}.yaml"))
