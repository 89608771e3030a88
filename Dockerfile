# JupyterLab on the book, without CUDA, for a machine that has no Python:
#   docker build -t what-transfers .
#   docker run --rm --init -p 8888:8888 what-transfers        then open the address that it prints
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home reader && install -d -o reader /book
USER reader
WORKDIR /book
COPY --chown=reader . .
ENV PIP_NO_CACHE_DIR=1 TORCH=cpu
RUN make environment
EXPOSE 8888
CMD ["make", "lab", "LAB=--ip=0.0.0.0 --no-browser"]
