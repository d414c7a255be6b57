# What seldom changes comes first, so that an edit of the program leaves the installed packages in the cache.
FROM containers-measured/compiler
WORKDIR /app
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY . .
CMD ["python3", "app.py"]
