"""What measures say of teachers: models whose answers a base model is to be fine-tuned on."""
