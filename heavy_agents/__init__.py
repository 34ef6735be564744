"""What happens to a run once it is accepted."""
