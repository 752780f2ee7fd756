"""Who has which spec."""
