"""The first lines of a judged program: they run it as `__main__`, and say so if it came to its end.

This text is run by the program's own interpreter (`python -c`); here it is only read.
"""


def run(token: int, mark: int, libraries: str) -> None:
    """Run program.py; only after its last line copy what *token* holds to *mark* (both are descriptors).

    Functions are taken from C modules before the program can replace them. The program may still look for the
    descriptors: in one interpreter nothing can be hidden from it for good. What is stopped is every way to end early.
    """
    import sys
    from posix import _exit, read, write

    sys.argv = ["program.py"]
    sys.orig_argv = ["python", "program.py"]
    sys.path.append(libraries)
    with open("program.py", encoding="utf-8") as file:  # noqa: PTH123 (pathlib would have to be imported)
        code = compile(file.read(), "program.py", "exec", dont_inherit=True)
    module = type(sys)("__main__")
    sys.modules["__main__"] = module
    exec(code, module.__dict__)
    try:  # noqa: SIM105 (contextlib would have to be imported)
        sys.stdout.flush()
    except Exception:  # noqa: BLE001 (the program may have put anything there)
        pass
    write(mark, read(token, 64))
    _exit(0)
