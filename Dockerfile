# An image with the server and only the files that it needs.
FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked -p notestamp-server \
    && cp target/release/notestamp-server /usr/local/bin/

FROM debian:bookworm-slim
# The certificates of public authorities, for S3 and MongoDB over TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data notestamp \
    && install -d -o notestamp -m 0700 /data
COPY --from=build /usr/local/bin/notestamp-server /usr/local/bin/
USER notestamp
VOLUME /data
EXPOSE 8080
ENV NOTESTAMP_DATA=/data NOTESTAMP_LISTEN=0.0.0.0:8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["notestamp-server"]
