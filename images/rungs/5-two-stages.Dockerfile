# Compile in one stage, and copy only the result into the next.
FROM containers-measured/compiler AS build
COPY requirements.txt .
RUN pip install --target /packages -r requirements.txt

FROM containers-measured/base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libpq5 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
WORKDIR /app
ENV PYTHONPATH=/packages
COPY --from=build /packages /packages
COPY app.py .
CMD ["python3", "app.py"]
