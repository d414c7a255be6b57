# An image with a compiler to start from, and the packages' files stay in it.
FROM containers-measured/compiler
WORKDIR /app
COPY --from=containers-measured/wheels /wheels /wheels
RUN pip install --no-index --find-links /wheels scikit-learn
COPY app.py .
CMD ["python3", "app.py"]
