# docs/docker.md tells how to build and run this image.
ARG BASE=python:3.11-slim-bookworm

# HD-BET's weights: nothing, or what '--build-context hd-bet=FOLDER' puts in place of this stage.
FROM scratch AS hd-bet

FROM ${BASE} AS weights
ARG HD_BET_URL=""
ARG HD_BET_SHA256=""
COPY --from=hd-bet / /given/
COPY containers/hd_bet_weights.py /
RUN python3 /hd_bet_weights.py /given "${HD_BET_URL}" "${HD_BET_SHA256}" /opt/uadbids/hd-bet

# All dependencies, from the lock. Changes of the source do not touch this.
FROM ${BASE} AS dependencies
ARG DEVICE=cpu
ARG TORCH_INDEX=""
WORKDIR /source
COPY containers/install containers/
COPY containers/lock containers/lock
RUN --mount=type=cache,target=/root/.cache/pip \
    sh containers/install dependencies "${DEVICE}" "${TORCH_INDEX}"

FROM dependencies AS app
ARG DEVICE=cpu
ARG VERSION=0.1.0.dev0
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY uadbids uadbids
RUN sh containers/install app "${VERSION}" && sh containers/install check "${DEVICE}"

FROM ${BASE}
ARG DEVICE=cpu
ARG VERSION=0.1.0.dev0
ARG REVISION=unknown
ARG CREATED=unknown
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=weights /opt/uadbids/hd-bet /opt/uadbids/hd-bet
COPY --from=app /opt/uadbids /opt/uadbids

# HOME: any user may write there, also one without a name.
# Threads: of what runs outside the graph; '--omp-nthreads' and '--nprocs' decide inside.
# The driver's parts that CUDA needs; without a GPU nothing reads it.
ENV PATH=/opt/uadbids/app/bin:/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    LANG=C.UTF-8 \
    PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NO_ET=1 \
    MPLBACKEND=Agg \
    OMP_NUM_THREADS=1 \
    ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    UADBIDS_CONTAINER_TAG=uadbids:${VERSION}-${DEVICE}
LABEL org.opencontainers.image.title="uadbids" \
      org.opencontainers.image.description="Unsupervised anomaly detection in brain FLAIR, as a BIDS App. Research use only, not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# The default work directory is ./work.
WORKDIR /tmp
USER 1000:1000
ENTRYPOINT ["uadbids"]
