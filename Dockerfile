# unspool with its server, as a user who owns nothing else:
#   docker build -t unspool .
#   docker run --rm unspool "Once upon a time"
#   docker run --rm -p 8000:8000 -e UNSPOOL_API_KEY unspool serve --host 0.0.0.0
FROM python:3.13-slim AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN python -m venv /opt/unspool \
 && /opt/unspool/bin/pip install --no-cache-dir --constraint requirements/test.txt ".[serve,chat]"

FROM python:3.13-slim
RUN useradd --create-home --uid 10001 unspool
COPY --from=build /opt/unspool /opt/unspool
ENV PATH=/opt/unspool/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/unspool
EXPOSE 8000
ENTRYPOINT ["unspool"]
CMD ["--help"]
