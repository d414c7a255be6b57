# The compiler is removed when it has done its work.
FROM containers-measured/compiler
WORKDIR /app
COPY requirements.txt .
RUN pip install -r requirements.txt
RUN apt-get purge --yes --auto-remove gcc libc6-dev python3-dev
COPY . .
CMD ["python3", "app.py"]
