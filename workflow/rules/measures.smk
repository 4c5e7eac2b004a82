# What is said of responses and prompts.


include: "measures/similarity.smk"
include: "measures/style.smk"
include: "measures/throughput.smk"
include: "measures/named.smk"
include: "measures/space.smk"
include: "measures/judges.smk"
