"""Token engines, their slot masks, and the supervisor that restarts them."""
