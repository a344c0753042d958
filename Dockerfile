# The service in a container: docker build -t coldtune . && docker run -v ./data:/data -p 8000:8000 coldtune
# Each step is one that docker/steps.sh runs, too.

FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN /src/docker/install.sh /opt/coldtune /src

FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home coldtune \
    && install -d -o coldtune -g coldtune /data
COPY --from=build /opt/coldtune /opt/coldtune
COPY docker/health.py /opt/coldtune/health.py
ENV PATH=/opt/coldtune/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER coldtune
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "/opt/coldtune/health.py"]
ENTRYPOINT ["coldtune"]
CMD ["serve", "model", "--host", "0.0.0.0", "--keys", "keys.json", "--uploads", "uploads"]
