"""What a study will cost: GPU-hours, tokens and disk, from plans and measured or published speeds."""
