# One image for VolSync's mover, the existence service, and the rokopia command.
#
# docker buildx build --platform linux/amd64,linux/arm64 -t rokopia .
FROM docker.io/library/rust:1.95-bookworm AS build
ARG TARGETARCH
WORKDIR /src
COPY . .
RUN image/static "$TARGETARCH" /build/rokopia \
 && image/sbom "$TARGETARCH" > /build/sbom.json \
 && image/rootfs /build/rokopia /build/sbom.json /out

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rokopia" \
      org.opencontainers.image.description="Restores, checks and verifies Kopia repositories without writing to them; VolSync's restore mover" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /out /
ENV PATH=/usr/local/bin version=$VERSION
# VolSync and its users set their own; whatever they set is enough.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/rokopia"]
