"""How the demo base is made and measured: a wing that nothing imports and the wheel leaves out.

Owns rendering the artwork, training each part, the figures and the card. Does not know what the rest of the project
does with a base, but for `tiers`, which teaches it concepts. Open `build` first: every step, in order. The UNet of the
next base is trained by `train_wide`, on the wider world of `wide_world`; no step of `build` does that yet.
"""
