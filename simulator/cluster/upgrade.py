"""The version operator: from a requested release to a completed one.

Read in openshift/cluster-version-operator, ``pkg/cvo/status.go``, and in the machine-config
operator: completed means that every operator is at the new level and that the pools required for
upgrade (master) have finished. Workers and custom pools may still be rolling.
"""

from collections.abc import Callable
from typing import Any

from simulator.apiserver.kinds import CLUSTER_VERSIONS, Kind
from simulator.apiserver.store import Version
from simulator.cluster import pools
from simulator.cluster.specs import Release
from simulator.cluster.world import PERSON, VERSION_OPERATOR, Document, World

NAME = "version"


class VersionOperator:
    """Follows ``spec.desiredUpdate`` of the ClusterVersion."""

    def __init__(
        self,
        world: World,
        release: Release,
        *,
        reach_machine_config: Callable[[Release], None],
        required_pools_done: Callable[[], bool],
        verify: Callable[[Release], bool] = lambda release: False,
    ) -> None:
        """`verify` says whether a release is signed; one that is not is taken all the same."""
        self._world = world
        self._known = {release.image: release}
        self._reach_machine_config = reach_machine_config
        self._required_pools_done = required_pools_done
        self._verify = verify
        self._attempt = 0
        self._refusal: tuple[str, str] | None = None
        self._failure = ""
        world.create(CLUSTER_VERSIONS, self._installed(release), VERSION_OPERATOR)
        world.store.listen(self._notice)

    def offer(self, release: Release) -> None:
        """Make a release known, so that it can be asked for by image or version."""
        self._known[release.image] = release

    def ask_for(self, release: Release) -> None:
        """What ``oc adm upgrade --to`` does."""
        self.offer(release)
        update = {"version": release.version, "image": release.image, "force": False}

        def change(document: Document) -> None:
            document["spec"]["desiredUpdate"] = update

        self._world.edit(CLUSTER_VERSIONS, NAME, change, PERSON)

    def refuse_next(self, reason: str, message: str) -> None:
        """The next requested release is not accepted, with the reason of the failing step."""
        self._refusal = (reason, message)

    def fail(self, message: str) -> None:
        """Stand still and report Failing; an empty message ends that."""
        self._failure = message
        target = self._desired()["version"]

        def change(status: Document) -> None:
            reason = "ClusterOperatorDegraded" if message else ""
            self._set(status, "Failing", bool(message), reason=reason, message=message)
            if message:
                told = f"Unable to apply {target}: {message}"
                self._set(status, "Progressing", True, reason=reason, message=told)

        self._change_status(change)

    def _installed(self, release: Release) -> Document:
        now = self._world.stamp()
        entry = {
            **self._entry(release, now, self._verify(release)),
            "state": "Completed",
            "completionTime": now,
        }
        status: Document = {
            "desired": {"version": release.version, "image": release.image},
            "history": [entry],
            "observedGeneration": 1,
            "versionHash": "simulated",
            "availableUpdates": None,
            "conditions": [],
        }
        self._set(status, "RetrievedUpdates", True)
        self._set_accepted(status, release)
        self._set_completed(status, release)
        return {
            "apiVersion": "config.openshift.io/v1",
            "kind": "ClusterVersion",
            "metadata": {"name": NAME},
            "spec": {"channel": "stable", "clusterID": "00000000-0000-4000-8000-000000000000"},
            "status": status,
        }

    @staticmethod
    def _entry(release: Release, now: str, verified: bool) -> Document:
        return {
            "state": "Partial",
            "startedTime": now,
            "completionTime": None,
            "version": release.version,
            "image": release.image,
            "verified": verified,
        }

    def _notice(self, kind: Kind, before: Version | None, after: Version | None) -> None:
        if kind == CLUSTER_VERSIONS and before and after:
            old, new = before.object["metadata"], after.object["metadata"]
            if old["generation"] != new["generation"]:
                self._world.clock.after(1, self._observe)

    def _object(self) -> Any:
        return self._world.store.get(CLUSTER_VERSIONS, NAME).object

    def _desired(self) -> Any:
        return self._object()["status"]["desired"]

    async def _observe(self) -> None:
        seen = self._object()
        wanted = seen["spec"].get("desiredUpdate") or self._desired()
        release = self._find(wanted)
        text = f'version="{wanted.get("version", "")}" image="{wanted.get("image", "")}"'
        if release and release.image == self._desired()["image"]:
            self._attempt += 1
            self._change_status(lambda status: self._set_accepted(status, release), observe=True)
            return self._go_on(release)

        def change(status: Document) -> None:
            value: bool | str = "Unknown" if release else False
            told = "Retrieving and verifying" if release else "Retrieving payload failed"
            message = f"{told} payload {text}"
            self._set(status, "ReleaseAccepted", value, reason="RetrievePayload", message=message)

        self._change_status(change, observe=True)
        if release:
            self._attempt += 1
            attempt = self._attempt
            self._later(self._world.timings.accept, attempt, lambda: self._accept(release))

    def _find(self, wanted: Any) -> Release | None:
        if image := wanted.get("image"):
            return self._known.get(image)
        of_version = [r for r in self._known.values() if r.version == wanted.get("version")]
        return of_version[0] if of_version else None

    def _later(self, seconds: float, attempt: int, work: Callable[[], None]) -> None:
        """Do it unless another release was asked for meanwhile."""

        async def due() -> None:
            if attempt == self._attempt:
                work()

        self._world.clock.after(seconds, due)

    def _accept(self, release: Release) -> None:
        if refusal := self._refusal:
            self._refusal = None

            def refuse(status: Document) -> None:
                reason, message = refusal
                self._set(status, "ReleaseAccepted", False, reason=reason, message=message)

            return self._change_status(refuse)
        verified = self._verify(release)
        self._change_status(lambda status: self._begin(status, release, verified))
        self._go_on(release)

    def _begin(self, status: Document, release: Release, verified: bool) -> None:
        now, newest = self._world.stamp(), status["history"][0]
        status["desired"] = {"version": release.version, "image": release.image}
        if (newest["version"], newest["image"]) == (release.version, release.image):
            newest |= {"state": "Partial", "completionTime": None}
        else:
            # Left behind, not completed, and yet with a completion time.
            newest["completionTime"] = newest["completionTime"] or now
            status["history"] = [self._entry(release, now, verified), *status["history"]][:100]
        self._set_accepted(status, release)
        self._set_progress(status, release, 0)

    def _go_on(self, release: Release) -> None:
        if self._object()["status"]["history"][0]["state"] == "Completed":
            return
        attempt, timings = self._attempt, self._world.timings
        self._later(timings.until_machine_config, attempt, lambda: self._machine_config(release))

    def _machine_config(self, release: Release) -> None:
        attempt, poll = self._attempt, self._world.timings.poll
        if self._failure:
            return self._later(poll, attempt, lambda: self._machine_config(release))
        self._reach_machine_config(release)
        self._change_status(lambda status: self._set_progress(status, release, 85))
        self._later(2 * poll, attempt, lambda: self._wait_for_pools(release))

    def _wait_for_pools(self, release: Release) -> None:
        if self._failure or not self._required_pools_done():
            poll = self._world.timings.poll
            return self._later(poll, self._attempt, lambda: self._wait_for_pools(release))

        def complete(status: Document) -> None:
            status["history"][0] |= {"state": "Completed", "completionTime": self._world.stamp()}
            self._set_completed(status, release)

        self._change_status(complete)

    def _change_status(self, change: Callable[[Document], None], *, observe: bool = False) -> None:
        def changed(document: Document) -> None:
            if observe:
                document["status"]["observedGeneration"] = document["metadata"]["generation"]
            change(document["status"])

        self._world.edit(CLUSTER_VERSIONS, NAME, changed, VERSION_OPERATOR, status=True)

    def _set(
        self, status: Document, kind: str, value: bool | str, *, reason: str = "", message: str = ""
    ) -> None:
        status["conditions"] = pools.with_condition(
            status["conditions"],
            kind,
            value,
            now=self._world.stamp(),
            reason=reason,
            message=message,
        )

    def _set_accepted(self, status: Document, release: Release) -> None:
        message = f'Payload loaded version="{release.version}" image="{release.image}"'
        self._set(status, "ReleaseAccepted", True, reason="PayloadLoaded", message=message)

    def _set_progress(self, status: Document, release: Release, percent: int) -> None:
        done = 890 * percent // 100
        message = f"Working towards {release.version}: {done} of 890 done ({percent}% complete)"
        reason = "ClusterOperatorUpdating" if percent else ""
        self._set(status, "Progressing", True, reason=reason, message=message)

    def _set_completed(self, status: Document, release: Release) -> None:
        version = release.version
        self._set(status, "Available", True, message=f"Done applying {version}")
        self._set(status, "Failing", False)
        self._set(status, "Progressing", False, message=f"Cluster version is {version}")
