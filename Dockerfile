# The service in one image, with the programs its builders and checks call (buildah, gpgv).
#
# BASE_IMAGE is any Debian-based image with Python 3.11 or newer and its venv module.
# A pip.conf, where one is needed, comes as a secret and stays out of the image:
#   buildah build --secret id=pip,src=$HOME/.config/pip/pip.conf .
ARG BASE_IMAGE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE_IMAGE} AS packages
COPY requirements.lock requirements-build.lock /src/
# In a directory of its own, so that nothing of the building stage gets into the final one.
RUN python3 -m venv /opt/relayer
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/relayer/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r /src/requirements.lock
COPY pyproject.toml README.md /src/
COPY watcher /src/watcher
COPY handlers /src/handlers
COPY simulator /src/simulator
COPY config/manifests /src/config/manifests
# The build backend is of this stage only, so it has a lock of its own.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /opt/backend \
 && /opt/backend/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /src/requirements-build.lock \
 && /opt/backend/bin/pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation -w /src/dist /src \
 && /opt/relayer/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-index /src/dist/*.whl \
 && rm -rf /opt/relayer/bin/pip* /opt/relayer/lib/python3*/site-packages/pip /opt/relayer/lib/python3*/site-packages/pip-*

FROM ${BASE_IMAGE}
# An apt mirror other than that of the base; empty keeps it.
ARG APT_SOURCE=""
RUN if [ -n "$APT_SOURCE" ]; then rm -rf /etc/apt/sources.list.d/* && echo "$APT_SOURCE" >/etc/apt/sources.list; fi \
 && apt-get -qq update \
 && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends buildah gpgv ca-certificates >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb \
# OpenShift gives an arbitrary user in group 0, without an entry in /etc/passwd.
 && mkdir -p /var/lib/relayer /etc/relayer \
 && chgrp 0 /var/lib/relayer && chmod 0770 /var/lib/relayer
COPY --from=packages /opt/relayer /opt/relayer
# Every setting with its default, to read; the service starts without it.
COPY config/default.yaml /etc/relayer/default.yaml
ENV PATH=/opt/relayer/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/var/lib/relayer \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The state directory and /tmp are all that is written: the root can be read-only.
VOLUME ["/var/lib/relayer", "/tmp"]
WORKDIR /var/lib/relayer
USER 1001:0
EXPOSE 8080
ENTRYPOINT ["relayer"]
CMD ["--help"]
LABEL org.opencontainers.image.title="Relayer" \
      org.opencontainers.image.description="Keeps layered RHCOS pools of OpenShift clusters on the release of their cluster"
