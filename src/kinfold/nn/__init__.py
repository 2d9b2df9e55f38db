"""Networks: the papers' own, heads, and pretrained ones that are never trained here."""
