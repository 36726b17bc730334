"""Text burned into films: how much of it is found, and what is made up."""
