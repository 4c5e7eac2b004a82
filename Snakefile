# One Snakefile serves every study: results/{study}/... A study is a file in config/studies.
#   snakemake                                  the default study (config/config.yaml)
#   snakemake --config study=released          another one
#   snakemake results/paper/figures/figure2.svg   one file of any study
from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/common.smk"
include: "workflow/rules/prompts.smk"
include: "workflow/rules/responses.smk"
include: "workflow/rules/measures.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/papers.smk"
include: "workflow/rules/operate.smk"


wildcard_constraints:
    study="|".join(STUDIES),
    model=r"[a-z0-9][a-z0-9._-]*",
    run=r"[a-z0-9][a-z0-9._-]*",
    benchmark="|".join(BENCHMARKS),
    shard=r"\d{4}",
    group=r"[a-z0-9][a-z0-9._-]*",
    mix=r"[a-z0-9][a-z0-9._-]*",
    preference=r"[a-z0-9][a-z0-9._-]*",
    tool=r"[a-z0-9][a-z0-9-]*",
    table=r"table\d+",
    figure=r"figure\d+",


localrules:
    all,


rule all:
    default_target: True
    input:
        targets,
    message:
        f"Study {DEFAULTS.study} is complete: results/{DEFAULTS.study}"
