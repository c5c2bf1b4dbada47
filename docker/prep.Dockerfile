# perfnet-prep with its pose model, at the tested Beam version.
# worker: Dataflow's worker. Beam's boot program makes files below /opt/apache/beam, so it is root.
# local:  the command line for one machine, not root.
FROM apache/beam_python3.11_sdk:2.77.0 AS worker
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl1 libgl1 libgles2 libglib2.0-0 libxcb1 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/perfnet-prep
COPY . .
ENV PERFNET_PREP_CACHE=/opt/perfnet-prep/cache
RUN pip install --no-cache-dir --constraint constraints.txt ".[prep,onnx,gcp]" \
    && perfnet-prep models fetch
WORKDIR /tmp
RUN python -c "import pipelines.build, pipelines.preload, apache_beam.io.gcp.gcsio" \
    && perfnet-prep models list

FROM worker AS local
RUN useradd --create-home --uid 1000 prep
USER 1000
WORKDIR /data
ENTRYPOINT ["perfnet-prep"]
RUN python -c "import pipelines.build, pipelines.preload, apache_beam.io.gcp.gcsio"
