# One Snakefile serves every study: results/{study}/... A study is a file in config/studies.
#   snakemake                                  the default study (config/config.yaml)
#   snakemake --config study=released          another one
#   snakemake results/paper/figures/figure2.svg   one file of any study
from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/common.smk"
include: "workflow/inputs/deployment.smk"
include: "workflow/inputs/released.smk"
include: "workflow/inputs/prompts.smk"
include: "workflow/inputs/responses.smk"
include: "workflow/inputs/runs.smk"
include: "workflow/inputs/evaluation.smk"
include: "workflow/inputs/judging.smk"
include: "workflow/inputs/similarity.smk"
include: "workflow/inputs/viewer.smk"
include: "workflow/inputs/mixes.smk"
include: "workflow/inputs/preferences.smk"
include: "workflow/inputs/tables.smk"
include: "workflow/inputs/style.smk"
include: "workflow/inputs/findings.smk"
include: "workflow/inputs/audit.smk"
include: "workflow/rules/study.smk"
include: "workflow/rules/envs.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/prompts.smk"
include: "workflow/rules/demo.smk"
include: "workflow/rules/responses.smk"
include: "workflow/rules/imports.smk"
include: "workflow/rules/throughput.smk"
include: "workflow/rules/similarity.smk"
include: "workflow/rules/viewer.smk"
include: "workflow/rules/mixes.smk"
include: "workflow/rules/preferences.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/style.smk"
include: "workflow/rules/judgments.smk"
include: "workflow/rules/judging.smk"
include: "workflow/rules/win_rates.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/findings.smk"
include: "workflow/rules/audit.smk"


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
