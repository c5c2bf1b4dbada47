# Flex Template launcher: Dataflow's launcher beside the worker image, so that both have one code.
# Both images are named by whoever builds it; docker/README.md.
ARG WORKER
ARG LAUNCHER=gcr.io/dataflow-templates-base/python311-template-launcher-base
# hadolint ignore=DL3006
FROM ${LAUNCHER} AS launcher

# hadolint ignore=DL3006
FROM ${WORKER}
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/perfnet-prep/pipelines/flex_template.py
RUN python -c "import pipelines.flex_template"
ENTRYPOINT ["/opt/google/dataflow/python_template_launcher"]
