"""Commands in a real terminal (tmux), as a person sees them."""
