# Everything in, then install: works, and is large, and every edit installs everything again.
FROM containers-measured/base
WORKDIR /app
COPY . .
RUN pip install -r requirements.txt
CMD ["python3", "app.py"]
