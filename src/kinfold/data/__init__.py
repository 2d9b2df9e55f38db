"""Images, from wherever they come."""

from kinfold.data.images import Images, Skipped, as_images

__all__ = ["Images", "Skipped", "as_images"]
