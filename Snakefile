# What `snakemake` finds in this folder: the rules are in workflow/, used here as a module, as another folder uses them.
#   snakemake                                  the default study (config/config.yaml)
#   snakemake --config study=released          another one
#   snakemake results/paper/wildchat50m/figures/figure2.svg   one file of any study
configfile: "config/config.yaml"


module rewild:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from rewild
