# pip keeps what it downloaded; in an image nobody will ask for it again.
FROM containers-measured/base
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
CMD ["python3", "app.py"]
