# docker build --build-arg EXTRA=tpu --tag alphallm .     (or cuda, for GPUs)
# TPU VM:  docker run --privileged --network host -v /shared:/shared alphallm \
#            alphallm.train --config configs/quickstart.py --workdir /shared/w
# GPU:     docker run --gpus all -v $PWD/runs:/runs alphallm \
#            alphallm.train --config configs/quickstart.py --workdir /runs/w
FROM python:3.11-slim

ARG EXTRA=tpu
WORKDIR /alphallm
COPY setup.py pyproject.toml README.md LICENSE ./
COPY alphallm alphallm
COPY configs configs
RUN pip install --no-cache-dir --editable ".[${EXTRA},models,plots]"

# `docker stop` sends SIGTERM: the iteration is finished and saved.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m"]
CMD ["alphallm.train", "--help"]
