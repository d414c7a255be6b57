# The same, with a .dockerignore that keeps the training data out.
FROM containers-measured/base
WORKDIR /app
COPY . .
RUN pip install -r requirements.txt
CMD ["python3", "app.py"]
