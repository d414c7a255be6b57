"""The command `boxlab` from its first moment: Ctrl-C is one line also while it is still being imported."""

from boxlab import interrupts, terminal


def main() -> None:
    """Run the command; never returns."""
    interrupts.listen()
    terminal.prepare()
    from boxlab import cli  # takes long

    try:
        cli.main(prog_name="boxlab")
    finally:
        interrupts.ignore()


if __name__ == "__main__":
    main()
