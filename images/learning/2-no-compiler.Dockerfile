# The same without a compiler.
FROM containers-measured/base
COPY --from=containers-measured/wheels /wheels /wheels
RUN pip install --no-index --find-links /wheels scikit-learn
WORKDIR /app
COPY app.py .
CMD ["python3", "app.py"]
