"""`fi-fhir`, and `python -m fifhir`."""

from fifhir.cli import main

if __name__ == "__main__":
    main()
