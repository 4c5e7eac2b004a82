# From responses to fine-tunes.


include: "training/mixes.smk"
include: "training/preferences.smk"
include: "training/runs.smk"
