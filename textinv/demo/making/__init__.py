"""How the demo base is made and measured: a wing that nothing imports and the wheel leaves out."""
