# Train elsewhere, and ship what a prediction needs: NumPy and the weights.
FROM containers-measured/base AS build
COPY --from=containers-measured/wheels /wheels /wheels
RUN pip install --no-index --find-links /wheels numpy

FROM containers-measured/base
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY predict.py weights.json ./
CMD ["python3", "predict.py"]
