"""What one feed is allowed to get wrong, and how its times and characters are read."""

from functools import cached_property

from fifhir import dtm


class Profile:
    """How to read one source's messages.

    `timezone` is where times without an offset were written. `charset` is the codec of messages
    that do not name one in MSH-18; with `guess_charset`, bytes that are not valid in it are read
    as Windows-1252, with a warning. With `tolerate_delimiters`, an MSH-2 damaged in one of the
    known ways is read as what it was, with a warning.
    """

    def __init__(
        self,
        id: str = "default",
        *,
        timezone: str = "UTC",
        charset: str = "utf-8",
        guess_charset: bool = True,
        tolerate_delimiters: bool = True,
    ) -> None:
        self.id = id
        self.timezone = timezone
        self.charset = charset
        self.guess_charset = guess_charset
        self.tolerate_delimiters = tolerate_delimiters

    @cached_property
    def zone(self) -> dtm.Zone:
        return dtm.zone(self.timezone)


DEFAULT = Profile()
