"""How a paper prepares, masks, resizes and aggregates, as versioned YAML; and the values it published."""
