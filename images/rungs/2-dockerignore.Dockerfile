# The same lines, with a .dockerignore beside them that keeps the training data out.
FROM containers-measured/compiler
WORKDIR /app
COPY . .
RUN pip install -r requirements.txt
CMD ["python3", "app.py"]
