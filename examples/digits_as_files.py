"""Write scikit-learn's 1,797 handwritten digits as PNG files, one folder a digit: real images without a download."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def main(folder: Path) -> None:
    """Write the files below `folder`; files that are there already are left alone."""
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    for i, (image, label) in enumerate(zip(pixels, digits.target, strict=True)):
        target = folder / str(label) / f"{i:04d}.png"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            # Twice the size, smoothed: easier to look at, and no slower to speak of.
            Image.fromarray(image).resize((16, 16), Image.Resampling.BICUBIC).save(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
