# Copy everything, then install. It works.
FROM containers-measured/compiler
WORKDIR /app
COPY . .
RUN pip install -r requirements.txt
CMD ["python3", "app.py"]
