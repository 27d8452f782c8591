"""From accepted bytes to a durable delivery; what a delivery says is left to processing."""
