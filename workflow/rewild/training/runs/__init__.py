"""Fine-tuning with Axolotl: a config is rendered and checked, trained, and the checkpoint tried."""
