"""Teachers of a study: ranked for each base model before it is fine-tuned, judged by the scores after it."""
