# Before the copy, remove tests, type stubs and compiled bytecode.
FROM containers-measured/base AS build
COPY --from=containers-measured/wheels /wheels /wheels
RUN pip install --no-index --find-links /wheels scikit-learn
RUN find /opt/venv \( -name tests -o -name "*.pyi" -o -name __pycache__ \) \
    -prune -exec rm -r {} +

FROM containers-measured/base
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY app.py .
CMD ["python3", "app.py"]
