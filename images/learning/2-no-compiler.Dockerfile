# The same without a compiler.
FROM containers-measured/base
WORKDIR /app
COPY --from=containers-measured/wheels /wheels /wheels
RUN pip install --no-index --find-links /wheels scikit-learn
COPY app.py .
CMD ["python3", "app.py"]
