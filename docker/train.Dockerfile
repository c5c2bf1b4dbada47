# perfnet-train: teachers, fusion and student from finished shards; not root.
FROM python:3.11-slim-bookworm
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libgl1 libglib2.0-0 libxcb1 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/perfnet-prep
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt ".[train]" \
    && useradd --create-home --uid 1000 train
USER 1000
WORKDIR /data
ENTRYPOINT ["perfnet-train"]
RUN python -c "import perfnet.cli, perfnet.data, torch"
