# What changes seldom comes first: an edit of the code leaves the installed packages in the cache.
FROM containers-measured/base
WORKDIR /app
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY . .
CMD ["python3", "app.py"]
