"""Where a tool's packages come from: a folder, a container, or conda; the same lock in all three."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from rewild.config.base import HOW, Section, validate
from rewild.core.reading_yaml import read_yaml

FILE = Path("envs/images.yaml")


class Image(Section, marks=HOW):
    """A row of ``envs/images.yaml``."""

    image: str = Field(
        pattern=r"^[a-z0-9._/-]+(:[\w.-]+(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$",
        description="NAME:TAG, NAME:TAG@sha256:DIGEST or NAME@sha256:DIGEST; the tag is a release",
    )
    python: str = Field(pattern="^/", description="Its Python, which the lock is laid over")

    @property
    def tagged(self) -> str:
        """NAME:TAG."""
        return self.image.partition("@")[0]

    @property
    def name(self) -> str:
        """Its name in the registry."""
        return self.tagged.partition(":")[0]

    @property
    def tag(self) -> str | None:
        """The release; None where only a digest stands."""
        return self.tagged.partition(":")[2] or None

    @property
    def digest(self) -> str | None:
        """``sha256:...``, which stays what it is when a tag is moved; None where only a tag stands."""
        return self.image.partition("@")[2] or None

    @property
    def file(self) -> str:
        """What the image is called in a site's folder of images: ``vllm-openai-v0.32.0.sif``."""
        release = self.tag or str(self.digest).partition(":")[2][:12]
        return f"{self.name.rpartition('/')[2]}-{release}.sif"

    def where(self, folder: str | None) -> str:
        """Where Snakemake finds it: in a site's folder, or in its registry.

        Apptainer refuses a tag and a digest together (containers/image, docker transport): the digest it is.
        """
        if folder:
            return f"{folder}/{self.file}"
        return f"docker://{self.name}@{self.digest}" if self.digest else f"docker://{self.image}"


def load_images(root: Path) -> dict[str, Image]:
    """Tool → its image.

    Args:
        root: the repository.

    Raises:
        ConfigError: a row that is not complete, or an image without a tag.
    """
    path = root / FILE
    rows = read_yaml(path)
    return {tool: validate(Image, row or {}, f"envs/images.yaml: {tool}") for tool, row in rows.items()}
