"""English text, rewritten so that every number, sign, unit and abbreviation is read as words."""
