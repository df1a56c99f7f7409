"""The sandbox world in the formats of the sites that publish such facts: one module per site."""
