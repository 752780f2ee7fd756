"""textinv: learn many Textual-Inversion concepts at once, and draw with all of them."""
