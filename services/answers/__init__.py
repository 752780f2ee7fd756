"""What was answered before."""
