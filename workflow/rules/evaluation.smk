# Benchmarks of a study's runs, and released judgments.


include: "evaluation/harness.smk"
include: "evaluation/judged.smk"
include: "evaluation/judgments.smk"
include: "evaluation/win_rates.smk"
