# syntax=docker/dockerfile:1
# The program, in two stages: what builds it stays behind. It runs without a shell's help, as nobody in
# particular, on a file system that it can't write to; /data is a mount, where there is something to keep.
#
# Tags name versions. For a release, add the digest that your registry shows (image:tag@sha256:…).

FROM python:3.11.15-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/mission-control
COPY pyproject.toml README.md LICENSE hatch_build.py web_build.py ./
COPY domain domain
COPY commands commands
COPY projections projections
COPY read_api read_api
COPY streams streams
COPY infra infra
COPY mission_control mission_control
COPY web web
RUN /opt/mission-control/bin/pip install --no-cache-dir --no-compile . \
    && /opt/mission-control/bin/python -m compileall -q /opt/mission-control/lib

FROM python:3.11.15-slim-bookworm
LABEL org.opencontainers.image.title="Mission Control" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 mission-control \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin mission-control \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/mission-control /opt/mission-control
ENV PATH=/opt/mission-control/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MC_DATA_DIR=/data \
    MC_HOST=0.0.0.0 \
    MC_PORT=8000 \
    MC_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["mission-control"]
CMD ["serve"]
