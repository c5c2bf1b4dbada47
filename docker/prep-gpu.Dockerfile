# perfnet-prep with flow and poses on CUDA, as Dataflow's worker:
# --flow-engine tvl1-gpu --pose-backend onnx --pose.onnx.provider cuda.
# CUDA and cuDNN are the packages that torch's and onnxruntime's wheels ask for, of one version; the
# machine brings the driver, below /usr/local/nvidia.
FROM apache/beam_python3.11_sdk:2.77.0
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        g++ libegl1 libgl1 libgles2 libglib2.0-0 libxcb1 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/perfnet-prep
COPY . .
ENV PERFNET_PREP_CACHE=/opt/perfnet-prep/cache \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all
RUN pip install --no-cache-dir --constraint constraints.txt ".[prep,onnx-gpu,gcp,gpu]" \
    && perfnet-prep models fetch
WORKDIR /tmp
RUN python -c "import pipelines.build, pipelines.preload, flow.tvl1_gpu, apache_beam.io.gcp.gcsio" \
    && python -c "import onnxruntime; print(onnxruntime.get_available_providers())" | grep CUDA \
    && perfnet-prep models list
