# Warren's images for those who have Docker; `make images` makes the same without it.
#
#   docker build --build-arg COMPONENT=operator --tag ghcr.io/warren-dev/warren-operator:0.1.0 .
#
# COMPONENT is operator, web-service or processor.
ARG COMPONENT=operator

FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /warren
COPY . .
# Static programs; --target keeps the flag off build scripts and macros, which must stay dynamic.
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
    && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$target" \
        --package warren-operator --package warren-web-service --package warren-processor --bins \
    && mkdir -p /root-of-image/etc/ssl/certs \
    && mkdir -m 1777 /root-of-image/tmp \
    && cat /usr/share/ca-certificates/mozilla/*.crt >/root-of-image/etc/ssl/certs/ca-certificates.crt \
    && strip --strip-all "target/$target/release/warren-operator" "target/$target/release/warren-web-service" \
        "target/$target/release/warren-processor" \
    && mv "target/$target/release/warren-operator" "target/$target/release/warren-web-service" \
        "target/$target/release/warren-processor" /

FROM scratch AS base
COPY --from=build /root-of-image/ /
LABEL org.opencontainers.image.source="https://github.com/warren-dev/warren" \
    org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532

FROM base AS operator
COPY --from=build /warren-operator /
ENTRYPOINT ["/warren-operator"]

FROM base AS web-service
COPY --from=build /warren-web-service /
ENTRYPOINT ["/warren-web-service"]

FROM base AS processor
COPY --from=build /warren-processor /
ENTRYPOINT ["/warren-processor"]

FROM ${COMPONENT}
