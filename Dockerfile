# One image for VolSync's mover, the existence service, and the rokopia command.
#
# docker buildx build --platform linux/amd64,linux/arm64 -t rokopia .
FROM docker.io/library/rust:1.95-bookworm AS build
ARG TARGETARCH
WORKDIR /src
COPY . .
# What the dependencies were compiled to stays for the next build.
RUN --mount=type=cache,target=/usr/local/cargo/registry,id=rokopia-registry-$TARGETARCH,sharing=locked \
    --mount=type=cache,target=/src/target,id=rokopia-target-$TARGETARCH,sharing=locked \
    image/static "$TARGETARCH" /build/rokopia \
 && image/sbom "$TARGETARCH" > /build/sbom.json \
 && image/rootfs /build/rokopia /build/sbom.json /out

# No USER, as in the stock mover: the operator sets none unless it is asked to, and root without privileges is who can write to the
# root of a new volume. deploy/ sets a user wherever it is not the operator who starts the image.
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
ENTRYPOINT ["/usr/local/bin/rokopia"]
