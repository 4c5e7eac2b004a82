"""The generation core: what identifies a generation, the prepared model, the chunks that survive a crash."""
