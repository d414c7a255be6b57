# Install in one stage, and copy the virtual environment into the next.
FROM containers-measured/base AS build
COPY --from=containers-measured/wheels /wheels /wheels
RUN pip install --no-index --find-links /wheels scikit-learn

FROM containers-measured/base
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY app.py .
CMD ["python3", "app.py"]
