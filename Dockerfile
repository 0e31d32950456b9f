# docker build -t mintage .
# docs/how-to/run-in-containers.md says how to run it, and how to build it without Docker.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
# PIP_CERT: certificates that pip trusts beside its own, where a proxy reads what passes.
ARG PIP_CERT
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# The locks name every package, so pip resolves nothing (docs/dependencies.md).
COPY requirements/runtime.txt requirements/build.txt ./
RUN python3 -m venv /opt/mintage \
 && /opt/mintage/bin/pip install --no-deps --require-hashes --only-binary :all: -r runtime.txt \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-deps --require-hashes --only-binary :all: -r build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY tools tools
# pip has done its work then: what runs has no installer.
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation -w dist . \
 && /opt/mintage/bin/pip install --no-deps dist/* \
 && /opt/mintage/bin/mintage schema > /dev/null \
 && /opt/mintage/bin/pip uninstall --yes pip \
 && find /opt/mintage -name tests -path '*/site-packages/*' -prune -exec rm -r {} +

FROM ${BASE}
LABEL org.opencontainers.image.title="Mintage" \
      org.opencontainers.image.description="The token factory for OAuth proxies" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/mintage /opt/mintage
# Group 0 may write: the image runs under any uid, as platforms choose one.
RUN useradd --no-create-home --uid 10001 --gid 0 --home-dir /var/lib/mintage mintage \
 && install -d -o 10001 -g 0 -m 0770 /var/lib/mintage
ENV PATH=/opt/mintage/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    MINTAGE_CONFIG=/etc/mintage/mintage.toml
USER 10001:0
WORKDIR /var/lib/mintage
VOLUME /var/lib/mintage
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["mintage"]
CMD ["serve", "--host", "::", "--port", "8080"]
