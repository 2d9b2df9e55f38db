"""Where the images of a run are now: a run folder names its source, but may be read elsewhere and later."""

from __future__ import annotations

from pathlib import Path

from kinfold.data import Images, as_images, features, folder, shards
from kinfold.errors import InputError
from kinfold.results import Clustering
from kinfold.runtime import Progress

__all__ = ["files_of", "images_of", "source_of"]


def source_of(result: Clustering, run: str | Path, moved: str | None = None) -> str:
    """Find the source of a run's images.

    Parameters
    ----------
    result : Clustering
        The run, read back.
    run : str or Path
        Its folder. The source is looked for as the user named it, from each folder above the run and then from here.
    moved : str, optional
        Where the images are now, when they were moved.

    Returns
    -------
    str
        A folder, a file, or ``torchvision:NAME``.

    Raises
    ------
    InputError
        When it is not there.
    """
    source = moved or str(result.run.get("source", ""))
    if source.startswith("torchvision:") or "://" in source or (shards.is_shards(source) and not Path(source).exists()):
        return source  # neither is a file; whether it can be read shows when it is
    for above in (*(() if moved else Path(run).resolve().parents), Path()) if source else ():
        place = above / source
        # A folder of that name may be another one: the run's own, for instance.
        here = moved or features.is_features(place) or shards.is_shards(place)
        if place.is_file() or (place.is_dir() and (here or any((place / name).exists() for name in result.names[:9]))):
            return str(place)
    raise InputError(f"The images ({source or 'of unknown source'}) are not there; say where they are with --images.")


def files_of(source: str | Path) -> dict[str, Path]:
    """List the image files of a source by the names that a run gives them.

    Parameters
    ----------
    source : str or Path
        A folder, a file of paths, or an image.

    Returns
    -------
    dict of str to Path
        Every file that the source names, image or not; nothing is opened.

    Raises
    ------
    InputError
        When the source holds no files, as an array does.
    """
    path = Path(source)
    if path.is_dir():
        found = folder.find(path)[0]
    elif path.suffix.lower() in (".txt", ".csv") and path.is_file():
        found = folder.listed(folder.read_list(path), path.parent)
    elif path.is_file() and path.suffix.lower() not in (".npz", ".npy", ".h5", ".hdf5", ".hdf"):
        found = folder.listed([path])
    else:
        raise InputError(f"{source} holds no image files to put into folders; expected a folder or a list of paths.")
    return {one.name: one.encoded for one in found if isinstance(one.encoded, Path)}


def images_of(result: Clustering, source: str, progress: Progress | None = None) -> Images:
    """Read the images of a run again, at its image size and in its order; other pixels than it saw are told.

    Raises
    ------
    InputError
        When images of the run are missing from the source.
    """
    images = as_images(source, shape=tuple(result.run["shape"]), progress=progress)
    if images.names != result.names:
        position = {name: i for i, name in enumerate(images.names)}
        missing = [name for name in result.names if name not in position]
        if missing:
            raise InputError(
                f"{len(missing):,} of the {len(result.names):,} images are not in {source} (the first: {missing[0]}); "
                "say where they are with --images."
            )
        images = images.select([position[name] for name in result.names])
    identity = result.run.get("identity")
    if progress is not None and isinstance(identity, dict) and identity.get("images") != images.fingerprint:
        progress.say(
            f"The images in {source} have the names of the run's, but not all of their pixels; if they are others, say "
            "where the run's are with --images."
        )
    return images
