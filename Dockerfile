# docker build -t mintage . && docker run -v mintage:/var/lib/mintage -v ./mintage.toml:/etc/mintage.toml:ro mintage
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# The locks name every package, so pip resolves nothing (docs/dependencies.md).
COPY requirements/runtime.txt requirements/build.txt ./
RUN python -m venv /opt/mintage \
 && /opt/mintage/bin/pip install --no-deps --require-hashes --only-binary :all: -r runtime.txt \
 && pip install --no-deps --require-hashes --only-binary :all: -r build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY tools tools
RUN pip wheel --no-deps --no-build-isolation -w dist . && /opt/mintage/bin/pip install --no-deps dist/*

FROM python:3.13-slim
COPY --from=build /opt/mintage /opt/mintage
RUN useradd --system --uid 10001 mintage && install -d -o mintage -g 0 -m 0770 /var/lib/mintage
USER mintage
WORKDIR /var/lib/mintage
VOLUME /var/lib/mintage
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/mintage/bin/mintage"]
CMD ["serve", "--config", "/etc/mintage.toml", "--host", "::", "--port", "8080"]
