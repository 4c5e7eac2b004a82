"""Where a tool's packages come from: a folder, a container, or conda; the same lock in all three."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from rewild.config.base import Strict, validate
from rewild.reading_yaml import read_yaml


class Image(Strict):
    """A row of ``envs/images.yaml``."""

    image: str = Field(
        pattern=r"^[a-z0-9./-]+:[\w.-]+(@sha256:[0-9a-f]{64})?$",
        description="NAME:TAG in the registry; the tag is a release",
    )
    python: str = Field(pattern="^/", description="Its Python, which the lock is laid over")

    @property
    def file(self) -> str:
        """What the image is called in a site's folder of images: ``vllm-openai-v0.32.0.sif``."""
        return self.image.partition("@")[0].rpartition("/")[2].replace(":", "-") + ".sif"

    def where(self, folder: str | None) -> str:
        """Where Snakemake finds it: in a site's folder, or in its registry."""
        return f"{folder}/{self.file}" if folder else f"docker://{self.image}"


def load_images(root: Path) -> dict[str, Image]:
    """Tool → its image.

    Args:
        root: the repository.

    Raises:
        ConfigError: a row that is not complete, or an image without a tag.
    """
    path = root / "envs/images.yaml"
    rows = read_yaml(path)
    return {tool: validate(Image, row or {}, f"envs/images.yaml: {tool}") for tool, row in rows.items()}
