"""Named changes of haproxy.cfg's text. Each says what it looks for and fails where that is not found: a variant that
silently measured the unchanged configuration would be worse than none."""

import re


class NotFound(Exception):
    """A text that a change looks for is not in the configuration."""


def swap(pattern, replacement):
    """Replaces every match; `^` and `$` are those of lines, and `replacement` is taken literally."""

    def change(text):
        changed, count = re.subn(pattern, lambda _: replacement, text, flags=re.MULTILINE)
        if count == 0:
            raise NotFound(f"nothing in the configuration matches {pattern!r}")
        return changed

    return change


def drop(*patterns):
    """Drops the lines in which a pattern is found; every pattern must be found."""

    def change(text):
        for pattern in patterns:
            text = swap(rf"^(?! *#).*{pattern}.*\n", "")(text)
        return text

    return change


def within(section, *changes):
    """Makes changes in one section only: from the line that begins with `section` to the next section."""

    def change(text):
        found = re.search(rf"^{re.escape(section)}\b.*\n(?:(?:[ #].*)?\n)*", text, flags=re.MULTILINE)
        if found is None:
            raise NotFound(f"the configuration has no section {section!r}")
        return text[:found.start()] + together(*changes)(found.group()) + text[found.end():]

    return change


def together(*changes):
    def change(text):
        for one in changes:
            text = one(text)
        return text

    return change


def insert_before(pattern, lines):
    """Puts lines before the first line that begins with a match."""

    def change(text):
        found = re.search(rf"^{pattern}", text, flags=re.MULTILINE)
        if found is None:
            raise NotFound(f"no line of the configuration begins with {pattern!r}")
        return text[:found.start()] + lines + text[found.start():]

    return change


def move_before(pattern, moved):
    """Moves the lines in which `moved` is found before the first line that begins with a match of `pattern`."""

    def change(text):
        lines = re.findall(rf"^(?! *#).*{moved}.*\n", text, flags=re.MULTILINE)
        if not lines:
            raise NotFound(f"nothing in the configuration matches {moved!r}")
        return insert_before(pattern, "".join(lines))(drop(moved)(text))

    return change
