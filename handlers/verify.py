"""Verify a built image from what the registry says; nothing the builder says is believed."""

from dataclasses import dataclass

from watcher.core.build import Build, BuildFailed, Verified, VerifyImage
from watcher.core.verify import Expected, verify
from watcher.ports import Images, StillOurs


@dataclass(frozen=True, slots=True)
class VerifyHandler:
    images: Images

    async def __call__(
        self, build: Build, action: VerifyImage, still_ours: StillOurs
    ) -> Verified | BuildFailed:
        """Compare every platform's image with the base it must stand on."""
        wrong: list[str] = []
        images = self.images.seen_from(build.cluster)
        for platform in build.platforms:
            architecture = platform.partition("/")[2].partition("/")[0]
            base = await images.facts(build.base, architecture)
            result = await images.facts(action.image, architecture)
            expected = Expected(
                image=action.image,
                base=build.base,
                architecture=architecture,
                build_key=build.key,
                recipe=build.recipe_digest,
                platforms=build.platforms,
            )
            wrong += [f"{platform}: {why}" for why in verify(base, result, expected=expected)]
        if wrong:
            return BuildFailed("the image is not what was ordered: " + "; ".join(wrong))
        return Verified(action.image.digest)
