# perfnet-prep with its pose model, for local runs: docker build -f docker/prep.Dockerfile -t perfnet-prep .
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl1 libgl1 libgles2 libglib2.0-0 libxcb1 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/perfnet-prep
COPY . .
ENV PERFNET_PREP_CACHE=/opt/perfnet-prep/cache
RUN pip install --no-cache-dir --constraint constraints.txt ".[prep]" \
    && perfnet-prep models fetch
WORKDIR /data
ENTRYPOINT ["perfnet-prep"]
