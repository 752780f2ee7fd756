"""From what a person wrote to what will run: specs with every default filled in, pinned by digest."""
