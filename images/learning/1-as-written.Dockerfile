# An image with a compiler to start from, and the packages' files stay in it.
FROM containers-measured/compiler
COPY --from=containers-measured/wheels /wheels /wheels
RUN pip install --no-index --find-links /wheels scikit-learn
WORKDIR /app
COPY app.py .
CMD ["python3", "app.py"]
