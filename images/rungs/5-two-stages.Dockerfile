# Install in one stage, and copy only what the program imports into the next.
FROM containers-measured/base AS build
COPY requirements.txt .
RUN pip install --no-cache-dir --target /packages -r requirements.txt

FROM containers-measured/base
WORKDIR /app
ENV PYTHONPATH=/packages
COPY --from=build /packages /packages
COPY app.py .
CMD ["python3", "app.py"]
