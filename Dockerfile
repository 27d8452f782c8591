# Callbox beside a PostgreSQL of its own: docker-compose.yml shows how. The embedded database is not in here.

FROM python:3.13-slim AS build
WORKDIR /opt/callbox
COPY requirements.txt ./
COPY app/install.py app/
RUN python -I app/install.py runtime

FROM python:3.13-slim
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/callbox --create-home --shell /usr/sbin/nologin callbox \
    && chmod 700 /var/lib/callbox
WORKDIR /opt/callbox
COPY --from=build /opt/callbox/.venv .venv
COPY pyproject.toml ./
COPY migrations migrations
COPY app app
# Readable for `callbox` whatever the umask of who cloned this.
RUN .venv/bin/python -m compileall -q app migrations && chmod -R go+rX app migrations pyproject.toml
ENV PATH=/opt/callbox/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CALLBOX_HOST=0.0.0.0 \
    CALLBOX_DATA_DIR=/var/lib/callbox \
    CALLBOX_LOG_FORMAT=json
USER callbox
# The spool (what was acknowledged while the database was away) and the documents.
VOLUME /var/lib/callbox
EXPOSE 8000
# No urllib: it would ask a proxy that Docker's settings name.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('CALLBOX_PORT', 8000)), timeout=4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["callbox"]
CMD ["serve"]
